package connectumtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// rich answers with everything that parity compares; by decides what differs.
func rich(by func(ctx context.Context, info *connect.CallInfo, err *connect.Error) *connect.Error) testservice.Service {
	return testservice.Service{
		OnEcho: func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			info, _ := connect.CallInfoForServerContext(ctx)
			info.ResponseHeader().Set("X-Header", "h")
			info.ResponseTrailer().Set("X-Trailer", "t")
			detail, err := connectproto.NewErrorDetail(durationpb.New(time.Second))
			if err != nil {
				return nil, err
			}
			fault := connect.NewError(connect.CodeNotFound, "no such thing").WithDetail(detail)
			if by != nil {
				fault = by(ctx, info, fault)
			}
			if req.GetText() == "fail" {
				return nil, fault
			}
			return &testv1.EchoResponse{Text: info.ResponseHeader().Get("X-Header"), Number: 7}, nil
		},
	}
}

func scenario(t testing.TB, client *connect.Client) {
	c := testv1connect.NewTestServiceClient(client)
	for _, text := range []string{"a", "fail"} {
		_, _ = c.Echo(t.Context(), &testv1.EchoRequest{Text: text})
	}
	sum, err := c.Sum(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = sum.Send(&testv1.SumRequest{Number: 2})
	if _, err := sum.CloseAndReceive(); err != nil {
		t.Error(err)
	}
	count, err := c.Count(t.Context(), &testv1.CountRequest{Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = count.Receive()
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Behaviours 158: equal passes.
func TestParityHoldsForOneServiceBehindEveryDoor(t *testing.T) {
	t.Parallel()
	connectumtest.Parity(t, newServer(t, connectum.Config{}, rich(nil)), scenario)
}

// Behaviours 158: a difference fails, and is shown. The controls of the test
// above, one for each thing that is compared.
func TestParityShowsEachSeededDifference(t *testing.T) {
	t.Parallel()
	http := func(ctx context.Context) bool { return connectum.DoorOf(ctx) == connectum.DoorHTTP }
	for _, test := range []struct {
		name, want string
		by         func(ctx context.Context, info *connect.CallInfo, err *connect.Error) *connect.Error
	}{
		{"answer", `+   answer  {"text":"other","number":"7"}`, func(ctx context.Context, info *connect.CallInfo, err *connect.Error) *connect.Error {
			if http(ctx) {
				info.ResponseHeader().Set("X-Header", "other")
			}
			return err
		}},
		{"header", "-   header  X-Door: inproc", func(ctx context.Context, info *connect.CallInfo, err *connect.Error) *connect.Error {
			info.ResponseHeader().Set("X-Door", string(connectum.DoorOf(ctx)))
			return err
		}},
		{"trailer", "+   trailer X-Door: http", func(ctx context.Context, info *connect.CallInfo, err *connect.Error) *connect.Error {
			info.ResponseTrailer().Set("X-Door", string(connectum.DoorOf(ctx)))
			return err
		}},
		{"code", "+   error   aborted: no such thing", func(ctx context.Context, _ *connect.CallInfo, err *connect.Error) *connect.Error {
			if http(ctx) {
				return connect.NewError(connect.CodeAborted, err.Message())
			}
			return err
		}},
		{"message", "+   error   not_found: gone", func(ctx context.Context, _ *connect.CallInfo, err *connect.Error) *connect.Error {
			if http(ctx) {
				return connect.NewError(connect.CodeNotFound, "gone")
			}
			return err
		}},
		{"detail", `-   detail  google.protobuf.Duration "1s"`, func(ctx context.Context, _ *connect.CallInfo, err *connect.Error) *connect.Error {
			if http(ctx) {
				return connect.NewError(err.Code(), err.Message())
			}
			return err
		}},
	} {
		report := failure(t, func(tb testing.TB) {
			connectumtest.Parity(tb, newServer(t, connectum.Config{}, rich(test.by)), scenario)
		})
		if !strings.Contains(report, test.want) || !strings.Contains(report, "by door grpc tls") {
			t.Errorf("%s: report\n%s\nwant %q", test.name, report, test.want)
		}
	}
}

func TestParityHoldsForErrorsHoweverTheyAreMade(t *testing.T) {
	t.Parallel()
	faults := map[string]func() error{
		"not made for clients": func() error { return errors.New("secret") },
		"wrapped":              func() error { return fmt.Errorf("context: %w", connect.NewError(connect.CodeAborted, "public")) },
		"of another server":    func() error { return connect.NewError(connect.CodeAborted, "theirs").WithRemote() },
		"panic":                func() error { panic("boom") },
		"canceled":             func() error { return context.Canceled },
		"odd text":             func() error { return connect.NewError(connect.CodeNotFound, "100 % \n é") },
		"no text":              func() error { return connect.NewError(connect.CodeNotFound, "") },
		"no such code":         func() error { return connect.NewError(connect.Code(77), "x") },
		"nil in an error":      func() error { var e *connect.Error; return e },
	}
	svc := testservice.Service{
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return nil, faults[req.GetText()]()
		},
		OnCount: func(_ context.Context, req *testv1.CountRequest, stream testv1connect.TestServiceCountServerStream) error {
			for range req.GetCount() {
				if err := stream.Send(new(testv1.CountResponse)); err != nil {
					return err
				}
			}
			return faults[req.GetText()]()
		},
	}
	connectumtest.Parity(t, newServer(t, connectum.Config{}, svc), func(t testing.TB, client *connect.Client) {
		c := testv1connect.NewTestServiceClient(client)
		for _, name := range slices.Sorted(maps.Keys(faults)) {
			if _, err := c.Echo(t.Context(), &testv1.EchoRequest{Text: name}); err == nil {
				t.Errorf("%s: no error", name)
			}
			for n := range int32(2) { // before the first message, and after it
				stream, err := c.Count(t.Context(), &testv1.CountRequest{Text: name, Count: n})
				for err == nil {
					_, err = stream.Receive()
				}
				if errors.Is(err, io.EOF) {
					t.Errorf("%s: stream ended without an error", name)
				}
			}
		}
	})
}

func TestParityOfAStreamThatOnlyHTTP2CarriesAndOfNothing(t *testing.T) {
	t.Parallel()
	connectumtest.Parity(t, newServer(t, connectum.Config{}, testservice.Service{}), func(t testing.TB, client *connect.Client) {
		chat, err := testv1connect.NewTestServiceClient(client).Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := chat.Send(&testv1.ChatRequest{Text: "a"}); err != nil {
				t.Error(err)
			}
			if _, err := chat.Receive(); err != nil {
				t.Error(err)
			}
		}
		_ = chat.CloseSend()
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	report := failure(t, func(tb testing.TB) {
		connectumtest.Parity(tb, newServer(t, connectum.Config{}, testservice.Service{}), func(testing.TB, *connect.Client) {})
	})
	if !strings.Contains(report, "parity of nothing") {
		t.Errorf("report %q", report)
	}
}

func TestParityOfDeadlinesUnderFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, connectum.Config{}, testservice.Service{OnEcho: func(ctx context.Context, _ *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		connectumtest.Start(t, srv, connectumtest.InMemory()).Parity(t, func(t testing.TB, client *connect.Client) {
			for _, patience := range []time.Duration{time.Second, time.Minute} {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				connectumtest.WantError(t, echoAs(ctx, client), connect.CodeDeadlineExceeded)
				cancel()
			}
		})
	})
}

func echoAs(ctx context.Context, client *connect.Client) error {
	_, err := testv1connect.NewTestServiceClient(client).Echo(ctx, new(testv1.EchoRequest))
	return err
}
