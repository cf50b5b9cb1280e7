package grpcnative

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/connectum-go/connectum"
)

// older is a stream with what grpc-go promises, and no more.
type older struct{}

func (older) Method() string               { return "" }
func (older) SetHeader(metadata.MD) error  { return nil }
func (older) SendHeader(metadata.MD) error { return nil }
func (older) SetTrailer(metadata.MD) error { return nil }

func TestAGrpcGoThatDoesNotFitIsAStartError(t *testing.T) {
	t.Parallel()
	err := usable(older{})
	if err == nil || !strings.Contains(err.Error(), grpc.Version) || !strings.Contains(err.Error(), "older") {
		t.Errorf("got %v, want the version and the type", err)
	}
	for name, c := range map[string]struct {
		usable func(grpc.ServerTransportStream) error
		want   string
	}{
		"the one of go.mod": {usable, ""}, // the control
		"another":           {func(grpc.ServerTransportStream) error { return usable(older{}) }, "lack methods"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := connectum.New(connectum.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
			register(srv, Config{}, c.usable)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			srv.OnReady(func(context.Context, net.Addr) { cancel() })
			err := srv.Run(ctx)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v, want %q", err, c.want)
			}
		})
	}
}
