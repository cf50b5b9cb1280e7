package grpcnative

import (
	"context"
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
	e := &engine{server: connectum.New(connectum.Config{})}
	if err := e.fits(context.Background()); err != nil { // the control: the one of go.mod
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.fits(ctx); err != nil && err != context.Canceled {
		t.Error(err)
	}
}
