//go:build unix

package connectum_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/certs"
	"github.com/connectum-go/connectum/internal/testservice"
)

// A file that cannot be read to its end, as one on a file system of a network that
// is gone, holds up no stop.
func TestACertificateThatCannotBeReadHoldsUpNoStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := certs.NewCA(t).Server(t).Write(t, dir)
	log := new(logbook)
	cfg := quiet()
	cfg.Logger = log.logger()
	cfg.TLS = connectum.TLS{CertFile: files.Cert, KeyFile: files.Key, ReloadInterval: 5 * time.Millisecond}
	in := serving(t, cfg, testservice.Service{})

	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pipe, files.Cert); err != nil {
		t.Fatal(err)
	}
	reads := make(chan *os.File, 1)
	go func() {
		w, err := os.OpenFile(files.Cert, os.O_WRONLY, 0) // waits until somebody reads
		if err != nil {
			t.Error(err)
		}
		reads <- w
	}()
	var w *os.File
	select {
	case w = <-reads:
	case <-time.After(patience):
		t.Fatal("nobody reads the certificate")
	}
	in.cancel()
	select {
	case <-in.done:
		if in.err != nil {
			t.Errorf("Run: %v", in.err)
		}
	case <-time.After(patience):
		t.Error("Run does not return")
	}
	_ = w.Close()
	if err := in.wait(); err != nil || !strings.Contains(log.String(), "certificates can't be read") {
		t.Errorf("Run: %v; the log: %s", err, log)
	}
}
