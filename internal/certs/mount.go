package certs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Mount is a pair and a client CA in a directory laid out as the kubelet lays
// out a secret. Rotate swaps one symbolic link, so that all three change at once
// while none of the paths a server was given is ever written to:
//
//	tls.crt ─► ..data/tls.crt          ..data ─► ..1
//	tls.key ─► ..data/tls.key                    ..1/tls.crt, tls.key, ca.crt
//	ca.crt  ─► ..data/ca.crt
type Mount struct {
	// Files are the paths of the pair.
	Files
	// ClientCA is the path of the client CA's certificate.
	ClientCA string

	dir string
}

// NewMount lays out p and the certificate of clientCA in dir.
func NewMount(t testing.TB, dir string, p Pair, clientCA CA) Mount {
	t.Helper()
	m := Mount{
		Files:    Files{Cert: filepath.Join(dir, certName), Key: filepath.Join(dir, keyName)},
		ClientCA: filepath.Join(dir, "ca.crt"),
		dir:      dir,
	}
	m.Rotate(t, p, clientCA)
	for _, name := range []string{certName, keyName, "ca.crt"} {
		link(t, filepath.Join("..data", name), filepath.Join(dir, name))
	}
	return m
}

// Rotate replaces the pair and the client CA in one step and removes the old ones.
func (m Mount) Rotate(t testing.TB, p Pair, clientCA CA) {
	t.Helper()
	data := filepath.Join(m.dir, "..data")
	old, err := os.Readlink(data)
	if err != nil && !os.IsNotExist(err) {
		t.Fatalf("read link: %v", err)
	}
	var generation int
	_, _ = fmt.Sscanf(old, "..%d", &generation)
	name := fmt.Sprintf("..%d", generation+1)
	writeDir(t, filepath.Join(m.dir, name), map[string][]byte{
		certName: p.CertPEM, keyName: p.KeyPEM, "ca.crt": clientCA.PEM,
	})
	link(t, name, data+"_tmp")
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatalf("swap link: %v", err)
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
			t.Fatalf("remove old files: %v", err)
		}
	}
}

func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatalf("make link: %v", err)
	}
}
