package guides_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

// What docs/lifecycle.md shows is here, word for word.

// journal notes what happened, in its order.
type journal struct {
	mu   sync.Mutex
	note []string
}

func (j *journal) add(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note = append(j.note, what)
}

type resource struct {
	*journal
	name string
}

func (r resource) Close() error                { r.add(r.name); return nil }
func (r resource) Flush(context.Context) error { r.add(r.name); return nil }

func TestLifecycle(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Addr: "localhost:0", Logger: connectumtest.Logger(t)})
	j := &journal{}
	cache, db := resource{j, "cache"}, resource{j, "database"}
	migrate := func(context.Context, resource) error { j.add("migrate"); return nil }
	announced := make(chan struct{})
	announce := func(net.Addr) { j.add("ready"); close(announced) }

	srv.OnStart(func(ctx context.Context) error { return migrate(ctx, db) })
	srv.OnReady(func(ctx context.Context, addr net.Addr) { announce(addr) })
	srv.OnStopping(func() { slog.Info("shutting down") })
	srv.OnShutdown("cache", cache.Flush)
	srv.OnShutdown("database", db.Close, "cache") // after the cache

	connectumtest.Start(t, srv)
	<-announced
	shutdown := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := srv.Shutdown(ctx) // what Run returns
		return err
	}
	if err := shutdown(); err != nil {
		t.Error(err)
	}
	connectumtest.Want(t, j.note, []string{"migrate", "ready", "cache", "database"})
}

type events struct {
	greeter.Service
	updates chan *greeterv1.SayHelloManyResponse
}

func (s events) SayHelloMany(ctx context.Context, _ *greeterv1.SayHelloManyRequest, stream greeterv1connect.GreeterServiceSayHelloManyServerStream) error {
	updates := s.updates
	for {
		select {
		case e := <-updates:
			if err := stream.Send(e); err != nil {
				return err
			}
		case <-connectum.Draining(ctx):
			return connect.NewError(connect.CodeUnavailable, "the server is going away, come again")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestLifecycleStreamsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), events{updates: make(chan *greeterv1.SayHelloManyResponse)})
		connectumtest.Start(t, srv, connectumtest.InMemory())
		client := greeterv1connect.NewGreeterServiceClient(connect.NewClient(srv.Transport()))
		stream, err := client.SayHelloMany(t.Context(), &greeterv1.SayHelloManyRequest{Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		go func() { _ = srv.Shutdown(context.Background()) }()
		_, err = stream.Receive()
		connectumtest.WantError(t, err, connect.CodeUnavailable, connectumtest.Containing("come again"))
		if errors.Is(err, io.EOF) {
			t.Error("a stream that was ended by the server ended well")
		}
	})
}
