package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/resilience"
)

// cached answers from the request and the error.
func cached(_ context.Context, req *testv1.GetRequest, err error) (*testv1.GetResponse, error) {
	return &testv1.GetResponse{Text: "cached " + req.GetText() + ", " + connect.CodeOf(err).String()}, nil
}

// Behaviours 93, 94: the listed codes are answered, others pass; the answer carries nothing
// of the call that failed.
func TestFallbackStandsInForTheCodesItLists(t *testing.T) {
	t.Parallel()
	around := resilience.Fallback(resilience.FallbackFor(service+"Get", cached, unavailable, connect.CodeInternal))
	for _, c := range []struct {
		code connect.Code
		want string // "" is the error
	}{
		{0, "served"},
		{unavailable, "cached a, unavailable"},
		{connect.CodeInternal, "cached a, internal"},
		{connect.CodeNotFound, ""},
		{connect.CodeUnauthenticated, ""}, {connect.CodePermissionDenied, ""}, {connect.CodeInvalidArgument, ""},
	} {
		name := "success"
		if c.code != 0 {
			name = c.code.String()
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, func() (*connectum.Server, struct{}) {
				srv := connectum.New(connectum.Config{Logger: quietly})
				svc := stepping(nil)
				svc.OnGet = func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
					info, _ := connect.CallInfoForServerContext(ctx)
					info.ResponseHeader().Set("Of-The-Server", "h")
					info.ResponseTrailer().Set("Trailer-Of-The-Server", "t")
					if c.code != 0 {
						return nil, connect.NewError(c.code, "as told")
					}
					return &testv1.GetResponse{Text: "served"}, nil
				}
				svc.Register(srv.RPC())
				return srv, struct{}{}
			}, func(t *testing.T, d doorway, _ struct{}) {
				ctx, info := connect.NewClientContext(t.Context())
				info.RequestHeader().Set("Of-The-Caller", "h")
				res, err := testv1connect.NewTestServiceClient(d.client(around)).Get(ctx, &testv1.GetRequest{Text: "a"})
				if c.want == "" {
					connectumtest.WantError(t, err, c.code, connectumtest.Containing("as told"))
				} else if err != nil || res.GetText() != c.want {
					t.Errorf("%v, %v, want %q", res, err, c.want)
				}
				fellBack := c.want != "" && c.want != "served"
				if has := info.ResponseHeader().Has("Of-The-Server"); has == fellBack {
					t.Errorf("headers of the server: %v", has)
				}
				if has := info.ResponseTrailer().Has("Trailer-Of-The-Server"); has == fellBack {
					t.Errorf("trailers of the server: %v", has)
				}
				if info.ResponseHeader().Has("Of-The-Caller") {
					t.Error("the answer carries the header of the request")
				}
			})
		})
	}
}

// Behaviour 93: an error of the fallback goes to the caller; streams and other procedures
// are left alone.
type violations []string

func (v violations) Error() string { return fmt.Sprint([]string(v)) }

func TestFallbackHandsItsErrorToTheCaller(t *testing.T) {
	t.Parallel()
	srv, m := moody()
	m.set(unavailable)
	fails := resilience.FallbackFor(service+"Get", func(_ context.Context, _ *testv1.GetRequest, err error) (*testv1.GetResponse, error) {
		return nil, connect.NewError(connect.CodeDataLoss, "the cache is gone").WithCause(err)
	}, unavailable)
	client := connect.NewClient(srv.Transport(), resilience.Fallback(fails,
		resilience.FallbackFor(service+"Chat", func(context.Context, *testv1.ChatRequest, error) (*testv1.ChatResponse, error) {
			t.Error("a stream is answered")
			return nil, nil
		}, unavailable)))
	connectumtest.WantError(t, get(t.Context(), client), connect.CodeDataLoss)
	for _, kind := range kinds {
		connectumtest.WantError(t, call(t.Context(), client, kind), unavailable, connectumtest.Containing("as told"))
	}
	// Also one of a type that Go can't compare, as slices of violations are.
	uncomparable := func(connect.ClientFunc) connect.ClientFunc {
		return func(context.Context, connect.Spec) (connect.ClientStream, error) { return nil, violations{"a"} }
	}
	client = connect.NewClient(srv.Transport(), resilience.Fallback(resilience.FallbackFor(service+"Get",
		func(_ context.Context, _ *testv1.GetRequest, err error) (*testv1.GetResponse, error) { return nil, err }, connect.CodeUnknown)), uncomparable)
	if err := get(t.Context(), client); err == nil || err.Error() != "[a]" {
		t.Errorf("got %v", err)
	}
	// An answer of nil is the empty message.
	client = connect.NewClient(srv.Transport(), resilience.Fallback(resilience.FallbackFor(service+"Get",
		func(context.Context, *testv1.GetRequest, error) (*testv1.GetResponse, error) { return nil, nil }, unavailable)))
	if err := get(t.Context(), client); err != nil {
		t.Error(err)
	}
}

// A deadline that has passed may be answered as well, and a caller that left is
// not, unless it is listed.
func TestFallbackAnswersForADeadline(t *testing.T) {
	t.Parallel()
	eachDoor(t, func() (*connectum.Server, struct{}) { return server(slow), struct{}{} }, func(t *testing.T, d doorway, _ struct{}) {
		client := d.client(resilience.Fallback(resilience.FallbackFor(service+"Get",
			func(ctx context.Context, req *testv1.GetRequest, err error) (*testv1.GetResponse, error) {
				if ctx.Err() == nil {
					t.Error("its context has not ended")
				}
				return new(testv1.GetResponse), nil
			}, connect.CodeDeadlineExceeded)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := get(ctx, client); err != nil {
			t.Error(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		connectumtest.WantError(t, get(ctx, client), connect.CodeCanceled)
	})
}

// The wrong types show with the first call, not on the day of the outage.
func TestFallbackRefusesOtherMessages(t *testing.T) {
	t.Parallel()
	srv, _ := moody()
	client := connect.NewClient(srv.Transport(), resilience.Fallback(
		resilience.FallbackFor(service+"Get", func(context.Context, *testv1.EchoRequest, error) (*testv1.GetResponse, error) { return nil, nil }, unavailable),
		resilience.FallbackFor(service+"Echo", func(context.Context, *testv1.EchoRequest, error) (*testv1.GetResponse, error) { return nil, nil }, unavailable)))
	for _, err := range []error{get(t.Context(), client), call(t.Context(), client, connect.StreamTypeUnary)} {
		e := connectumtest.WantError(t, err, connect.CodeInternal, connectumtest.Containing("for other messages"))
		if e != nil && !e.IsRemote() {
			t.Error("a server would tell it to its clients")
		}
	}
}

// Dynamic messages get the error, or an answer that is made of dynamic messages.
func TestFallbackKnowsDynamicMessages(t *testing.T) {
	t.Parallel()
	srv, m := moody()
	m.set(unavailable)
	method := testv1.File_connectum_test_v1_test_proto.Services().ByName("TestService").Methods().ByName("Get")
	spec := connect.Spec{Procedure: service + "Get", Schema: method, IdempotencyLevel: connect.IdempotencyNoSideEffects}
	ask := func(rule resilience.FallbackRule) (proto.Message, error) {
		client := connect.NewClient(srv.Transport(), resilience.Fallback(rule))
		res := dynamicpb.NewMessage(method.Output())
		return res, client.CallUnary(t.Context(), spec, dynamicpb.NewMessage(method.Input()), res)
	}
	_, err := ask(resilience.FallbackFor(service+"Get", cached, unavailable))
	connectumtest.WantError(t, err, unavailable)
	text := method.Output().Fields().ByName("text")
	res, err := ask(resilience.FallbackFor(service+"Get", func(context.Context, proto.Message, error) (*dynamicpb.Message, error) {
		out := dynamicpb.NewMessage(method.Output())
		out.Set(text, protoreflect.ValueOfString("dynamic"))
		return out, nil
	}, unavailable))
	if err != nil || res.ProtoReflect().Get(text).String() != "dynamic" {
		t.Error(res, err)
	}
}

func TestFallbackReportsItsSettings(t *testing.T) {
	t.Parallel()
	for text, f := range map[string]func(){
		"needs an answer and the codes": func() { resilience.FallbackFor(service+"Get", cached) },
		"needs an answer": func() {
			resilience.FallbackFor[*testv1.GetRequest, *testv1.GetResponse](service+"Get", nil, unavailable)
		},
		"must not hide unauthenticated": func() { resilience.FallbackFor(service+"Get", cached, unavailable, connect.CodeUnauthenticated) },
		"must not hide permission":      func() { resilience.FallbackFor(service+"Get", cached, connect.CodePermissionDenied) },
		"must not hide invalid":         func() { resilience.FallbackFor(service+"Get", cached, connect.CodeInvalidArgument) },
		"no call ends with code_0":      func() { resilience.FallbackFor(service+"Get", cached, 0) },
		"FallbackFor(\"Get\")":          func() { resilience.FallbackFor("Get", cached, unavailable) },
		"FallbackFor(\"\")":             func() { resilience.FallbackFor("", cached, unavailable) },
		"FallbackFor(\"a.B/C\")":        func() { resilience.FallbackFor("a.B/C", cached, unavailable) },
		"FallbackFor(\"//C\")":          func() { resilience.FallbackFor("//C", cached, unavailable) },
		"FallbackFor(\"/a.B/\")":        func() { resilience.FallbackFor("/a.B/", cached, unavailable) },
		"two rules for": func() {
			resilience.Fallback(resilience.FallbackFor(service+"Get", cached, unavailable), resilience.FallbackFor(service+"Get", cached, unavailable))
		},
		"FallbackRule is empty": func() { resilience.Fallback(resilience.FallbackRule{}) },
	} {
		wantPanic(t, text, f)
	}
}

func TestAttemptTimeoutGivesUpAnAttempt(t *testing.T) {
	t.Parallel()
	eachDoor(t, scripted(slow, slow, slow), func(t *testing.T, d doorway, s *script) {
		client := d.client(resilience.AttemptTimeout(2 * time.Second))
		began := time.Now()
		err := get(t.Context(), client)
		connectumtest.WantError(t, err, connect.CodeDeadlineExceeded, connectumtest.Containing("attempt took longer than 2s"))
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		if e, _ := errors.AsType[*connect.Error](err); !e.IsRemote() {
			t.Error("a server would tell it to its clients as its own verdict")
		}
		// The call's own deadline holds, as does its caller's patience.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		connectumtest.WantError(t, get(ctx, client), connect.CodeDeadlineExceeded)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		connectumtest.WantError(t, get(ctx, client), connect.CodeCanceled)
		if err := get(t.Context(), client); err != nil {
			t.Errorf("in time: %v", err)
		}
	})
	for _, kind := range kinds[1:] {
		synctest.Test(t, func(t *testing.T) {
			srv, _ := scripted(after(time.Minute, nil))()
			if err := call(t.Context(), connect.NewClient(srv.Transport(), resilience.AttemptTimeout(time.Second)), kind); err != nil {
				t.Errorf("%v: %v", kind, err)
			}
		})
	}
	for _, none := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			srv, _ := scripted(after(time.Minute, nil))()
			if err := get(t.Context(), connect.NewClient(srv.Transport(), resilience.AttemptTimeout(none))); err != nil {
				t.Error(err)
			}
		})
	}
}

// The server has the deadline of the attempt too, and may be the first to say
// that it has passed; one that gives up long before that has its own reasons.
func TestAttemptTimeoutKnowsItsOwnDeadline(t *testing.T) {
	t.Parallel()
	for left, repeated := range map[time.Duration]bool{time.Millisecond: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			around := resilience.NewRetry(resilience.RetryConfig{}).Interceptor()(resilience.AttemptTimeout(10 * time.Second)(
				func(ctx context.Context, _ connect.Spec) (connect.ClientStream, error) {
					tries++
					deadline, _ := ctx.Deadline()
					time.Sleep(time.Until(deadline) - left)
					return nil, connect.NewError(connect.CodeDeadlineExceeded, "by the server").WithRemote()
				}))
			stream, err := around(t.Context(), connect.Spec{Procedure: service + "Get", IdempotencyLevel: connect.IdempotencyNoSideEffects})
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(new(testv1.GetRequest))
			connectumtest.WantError(t, stream.Receive(new(testv1.GetResponse)), connect.CodeDeadlineExceeded)
			if (tries == 3) != repeated {
				t.Errorf("%v before the deadline: %d attempts", left, tries)
			}
		})
	}
}
