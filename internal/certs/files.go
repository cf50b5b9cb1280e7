package certs

import (
	"os"
	"path/filepath"
	"testing"
)

// The names that Kubernetes gives to the entries of a TLS secret.
const (
	certName = "tls.crt"
	keyName  = "tls.key"
)

// Files is a pair on disk.
type Files struct {
	// Cert and Key are the paths of the two files.
	Cert, Key string
}

// Rotate replaces both files, certificate first, each by writing a new file
// and renaming it over the old one, as careful editors do. A reader between
// the two renames sees a pair that does not match.
func (f Files) Rotate(t testing.TB, p Pair) {
	t.Helper()
	Replace(t, f.Cert, p.CertPEM, 0o644)
	Replace(t, f.Key, p.KeyPEM, 0o600)
}

// Replace gives path new content by renaming a new file over it: a reader sees
// the old content or the new, never a part.
func Replace(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, content, mode); err != nil {
		t.Fatalf("write file: %v", err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatalf("replace file: %v", err)
	}
}

// Overwrite gives path new content in place, as a plain editor does: a reader
// may see a part of it.
func Overwrite(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatalf("write file: %v", err)
	}
}

// writeDir writes the named files into a new directory.
func writeDir(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("make directory: %v", err)
	}
	for name, content := range files {
		Overwrite(t, filepath.Join(dir, name), content)
	}
}
