package connectumtest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestNoLeaksPassesWhenAllHasEnded(t *testing.T) {
	t.Parallel()
	srv := newServer(t, connectum.Config{}, testservice.Service{})
	connectumtest.NoLeaks(t, srv)
	s := connectumtest.Start(t, srv)
	if err := echo(t, s.GRPC()); err != nil {
		t.Error(err)
	}
}

// The controls: seeded leaks are found. That of a goroutine takes its 5 s.
func TestNoLeaksCatchesWhatIsLeft(t *testing.T) {
	t.Parallel()
	release, entered := make(chan struct{}), make(chan struct{})
	defer close(release)
	srv := newServer(t, connectum.Config{}, testservice.Service{
		OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			close(entered)
			<-release
			return new(testv1.EchoResponse), nil
		},
	})
	client := testv1connect.NewTestServiceClient(connectumtest.Client(t, srv))
	report := failure(t, func(tb testing.TB) {
		connectumtest.NoLeaks(tb, srv)
		go func() { _, _ = client.Echo(context.Background(), new(testv1.EchoRequest)) }()
		<-entered
	})
	for _, want := range []string{"TestNoLeaksCatchesWhatIsLeft", "1 calls in flight"} {
		if !strings.Contains(report, want) {
			t.Errorf("report %q, want %q", report, want)
		}
	}
}

func TestNoLeaksCatchesAServerThatRuns(t *testing.T) {
	t.Parallel()
	srv := newServer(t, connectum.Config{}, testservice.Service{})
	connectumtest.Start(t, srv)
	if report := failure(t, func(tb testing.TB) { connectumtest.NoLeaks(tb, srv) }); !strings.Contains(report, "is running after the test") {
		t.Errorf("report %q", report)
	}
}
