package connectum

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// nobody is a listener that no client comes to.
type nobody struct {
	closed chan struct{}
	once   sync.Once
}

func (l *nobody) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l *nobody) Close() error              { l.once.Do(func() { close(l.closed) }); return nil }
func (l *nobody) Addr() net.Addr            { return &net.TCPAddr{} }

// Signals that come together are one request to stop: timeout(1) sends two, to
// the program and to its group. Later they are those of somebody who waits no
// longer.
func TestSignalsThatComeTogetherAreOne(t *testing.T) {
	t.Parallel()
	const takes = 5 * time.Second // the call in flight
	for _, test := range []struct {
		name    string
		signals []time.Duration // after the first
		cut     bool
	}{
		{"one", nil, false},
		{"two at once, as of timeout", []time.Duration{0}, false},
		{"many at once", []time.Duration{0, 0, 0, 1, 1, 1}, false},
		{"two of a wrapper", []time.Duration{oneRequest - 1}, false},
		{"the control: two of a person", []time.Duration{oneRequest}, true},
		{"two of a person, by way of a wrapper", []time.Duration{1, time.Second, time.Second + 1}, true},
		{"a key that is held", []time.Duration{100e6, 200e6, 300e6, 400e6}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := New(Config{Logger: slog.New(slog.DiscardHandler)})
				testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
					select {
					case <-time.After(takes):
					case <-ctx.Done():
					}
					return &testv1.EchoResponse{}, nil
				}}.Register(srv.RPC())

				signals := make(chan os.Signal, 8)
				code := make(chan int, 1)
				go func() {
					code <- runUntil(srv, func(ctx context.Context) error {
						return srv.Serve(ctx, &nobody{closed: make(chan struct{})})
					}, signals, func(int) { t.Error("exited on the spot") })
				}()
				synctest.Wait()
				go func() {
					client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
					_, _ = client.Echo(context.Background(), &testv1.EchoRequest{})
				}()
				synctest.Wait()

				began := time.Now()
				signals <- syscall.SIGTERM
				for _, at := range test.signals {
					time.Sleep(at - time.Since(began))
					signals <- syscall.SIGTERM
				}
				got, want := <-code, 0
				if test.cut {
					want = 1
				}
				if took := time.Since(began); got != want || took < takes != test.cut {
					t.Errorf("exit code %d after %v, want %d and calls cut: %v", got, took, want, test.cut)
				}
			})
		})
	}
}
