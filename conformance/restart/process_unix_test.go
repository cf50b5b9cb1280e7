//go:build unix

package restart_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/connectum-go/connectum/connectumtest"
)

const patience = 60 * time.Second // for what should take a second

// program is what processes run.
type program struct {
	name  string // of servers
	delay time.Duration
	cert  connectumtest.Certificate // none for plaintext
	trust *tls.Config
}

// newProgram returns the server of that name, with TLS or without.
func newProgram(t testing.TB, name string, delay time.Duration, secure bool) program {
	t.Helper()
	p := program{name: name, delay: delay}
	if secure {
		certs := connectumtest.Certs(t)
		p.cert, p.trust = certs.Server, certs.Trust()
	}
	return p
}

// process is a run of a program.
type process struct {
	addr string
	cmd  *exec.Cmd
	log  *log
	done chan struct{}
	err  error // of the exit, once done is closed
}

// log keeps what a process says on standard error.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs p and returns when it listens. The process is killed at the end of
// the test if it still runs.
func (p program) start(t testing.TB) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x := &process{cmd: exec.Command(self), log: new(log), done: make(chan struct{})}
	x.cmd.Env = append(os.Environ(), serverKey+"="+p.name, delayKey+"="+p.delay.String(),
		certKey+"="+p.cert.CertFile, keyKey+"="+p.cert.KeyFile)
	x.cmd.Stderr = x.log
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if addr, ok := strings.CutPrefix(lines.Text(), readyPrefix); ok {
				ready <- addr
			}
		}
		x.err = x.cmd.Wait()
		close(x.done)
	}()
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		<-x.done
	})
	select {
	case x.addr = <-ready:
	case <-x.done:
		t.Fatalf("the process ended: %v\n%s", x.err, x.log)
	case <-time.After(patience):
		t.Fatalf("the process does not listen\n%s", x.log)
	}
	return x
}

// stop tells the process to and returns how it ended.
func (x *process) stop() error {
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-x.done:
		if x.err != nil {
			return fmt.Errorf("exit: %w\n%s", x.err, x.log)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the process does not end\n%s", x.log)
	}
}
