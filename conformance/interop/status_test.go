package interop_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/grpcclient"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Every code, its text as it is (with what must be escaped in a header) and its
// details as google.rpc has them.
func TestGRPCGoReadsErrorsWithDetails(t *testing.T) {
	t.Parallel()
	const text = "100 % of the naïve \"text\"\nsecond line"
	fail := func(code connect.Code) error {
		bad, err := connectproto.NewErrorDetail(&errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "is empty"}},
		})
		retry, err2 := connectproto.NewErrorDetail(&errdetails.RetryInfo{})
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return connect.NewError(code, text).WithDetail(bad).WithDetail(retry)
	}
	svc := testservice.Service{
		OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			return nil, fail(connect.Code(req.GetNumber()))
		},
		OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
			req, err := s.Receive()
			if err != nil {
				return err
			}
			return fail(connect.Code(req.GetNumber()))
		},
	}
	each(t, connectum.Config{}, svc, func(t *testing.T, c grpcclient.Client) {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			_, err := c.Echo(t.Context(), &testv1.EchoRequest{Number: int64(code)})
			wantStatus(t, err, code, text)
			s, err := c.Chat(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(&testv1.ChatRequest{Number: int64(code)}); err != nil {
				t.Fatal(err)
			}
			_, err = s.Recv()
			wantStatus(t, err, code, text)
		}
	})
}

func wantStatus(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code || st.Message() != text {
		t.Errorf("status %v, want code %v and the text", st, code)
	}
	if len(st.Details()) != 2 {
		t.Fatalf("%v: details %v", code, st.Details())
	}
	bad, ok := st.Details()[0].(*errdetails.BadRequest)
	if !ok || bad.GetFieldViolations()[0].GetField() != "name" {
		t.Errorf("%v: first detail %v", code, st.Details()[0])
	}
	if _, ok := st.Details()[1].(*errdetails.RetryInfo); !ok {
		t.Errorf("%v: second detail %v", code, st.Details()[1])
	}
}

// Errors that were not made for clients stay with the server, and panics are
// errors: the next call is served.
func TestGRPCGoIsToldNothingOfInternalErrors(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{OnEcho: func(_ context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		if req.GetText() == "panic" {
			panic("the password is hunter2")
		}
		return nil, errors.New("the password is hunter2")
	}}
	certs := connectumtest.Certs(t)
	cfg := connectum.Config{TLS: certs.ServerTLS(), Logger: connectumtest.RecordLogs(t).Logger()}
	srv := connectum.New(cfg)
	svc.Register(srv.RPC())
	run := connectumtest.Start(t, srv, connectumtest.WithTLS(certs.Trust()))
	c := grpcclient.Client{Conn: dial(t, strings.TrimPrefix(run.URL(), "https://"), certs.Trust())}
	for _, text := range []string{"error", "panic", "error"} {
		_, err := c.Echo(t.Context(), &testv1.EchoRequest{Text: text})
		if code := status.Code(err); code != codes.Internal && code != codes.Unknown || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Limits are statuses, not broken connections; unknown names are unimplemented.
func TestGRPCGoIsRefusedByStatus(t *testing.T) {
	t.Parallel()
	cfg := connectum.Config{Limits: connectum.Limits{MaxReceiveBytes: 1 << 10, MaxSendBytes: 4 << 10}}
	svc := testservice.Service{OnCount: func(_ context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
		random := make([]byte, 8<<10) // gzip makes nothing of it
		_, _ = rand.Read(random)
		return s.Send(&testv1.CountResponse{Payload: random})
	}}
	each(t, cfg, svc, func(t *testing.T, c grpcclient.Client) {
		for _, one := range []struct {
			what string
			code codes.Code
			call func() error
		}{
			{"too large a request", codes.ResourceExhausted, func() error {
				_, err := c.Echo(t.Context(), &testv1.EchoRequest{Payload: make([]byte, 2<<10)})
				return err
			}},
			{"too large once inflated", codes.ResourceExhausted, func() error {
				_, err := c.Echo(t.Context(), &testv1.EchoRequest{Payload: make([]byte, 1<<20)}, grpc.UseCompressor(gzip.Name))
				return err
			}},
			{"too large an answer", codes.ResourceExhausted, func() error {
				s, err := c.Count(t.Context(), &testv1.CountRequest{Count: 1})
				if err != nil {
					return err
				}
				_, err = s.Recv()
				return err
			}},
			{"unknown method", codes.Unimplemented, func() error {
				return c.Conn.Invoke(t.Context(), "/connectum.test.v1.TestService/Nothing", &testv1.EchoRequest{}, &testv1.EchoResponse{})
			}},
			{"unknown service", codes.Unimplemented, func() error {
				return c.Conn.Invoke(t.Context(), "/nowhere.v1.Service/Echo", &testv1.EchoRequest{}, &testv1.EchoResponse{})
			}},
		} {
			if err := one.call(); status.Code(err) != one.code {
				t.Errorf("%s: %v, want %v", one.what, err, one.code)
			}
			unary(t, c) // on the same connection
		}
	})
}
