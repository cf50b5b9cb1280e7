//go:build unix

package connectum_test

import (
	"errors"
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
	var w *os.File
	for over := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var err error
		if w, err = os.OpenFile(files.Cert, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			break // somebody reads
		}
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(over) {
			t.Fatal(err)
		}
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
