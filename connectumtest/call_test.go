package connectumtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func texts(msgs []proto.Message) string {
	var out []string
	for _, m := range msgs {
		out = append(out, m.(*wrapperspb.StringValue).GetValue())
	}
	return strings.Join(out, ", ")
}

// logged keeps what is logged.
type logged struct {
	testing.TB
	text strings.Builder
}

func (l *logged) Logf(format string, args ...any) { fmt.Fprintf(&l.text, format, args...) }

// An interceptor that is wrongly configured does nothing, and says so once.
func TestCallTellsWhyAnInterceptorDoesNothing(t *testing.T) {
	t.Parallel()
	l := &logged{TB: t}
	ic := connectum.Interceptor{
		Name: "bulkhead",
		Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return nil, nil },
		Done: func([]connect.Spec) error { return errors.New("Capacity is 0: it must be positive") },
	}
	got := connectumtest.Call(l, ic, connectumtest.Exchange{})
	want := `interceptor "bulkhead" leaves /connectumtest.v1.KindService/Unary alone: Capacity is 0: it must be positive`
	if got.Err != nil || l.text.String() != want {
		t.Errorf("%v, logged %q, want %q", got.Err, &l.text, want)
	}
}

func TestCallRunsAnInterceptorOverEachKind(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own")
	var seen string
	mark := connectum.Wrap("mark", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			info, _ := connect.CallInfoForServerContext(ctx)
			seen = info.RequestHeader().Get("X-Who")
			info.ResponseHeader().Set("X-Mark", "yes")
			return errors.Join(next(ctx, spec, stream), errOwn)
		}
	})
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		got := connectumtest.Call(t, mark, connectumtest.Exchange{Kind: kind, Header: map[string]string{"X-Who": "me"}})
		if !errors.Is(got.Err, errOwn) || got.Calls != 1 || got.Header.Get("X-Mark") != "yes" || seen != "me" {
			t.Errorf("outcome %+v, header %q", got, seen)
		}
		wantRequests, wantAnswers := "request 1", "answer 1"
		if kind&connect.StreamTypeClient != 0 {
			wantRequests += ", request 2"
		}
		if kind&connect.StreamTypeServer != 0 {
			wantAnswers += ", answer 2"
		}
		if texts(got.Received) != wantRequests || texts(got.Answers) != wantAnswers {
			t.Errorf("received %q, answers %q", texts(got.Received), texts(got.Answers))
		}
		handler := connectumtest.Call(t, mark, connectumtest.Exchange{Kind: kind, Handler: connectumtest.Fail(io.ErrClosedPipe)})
		if !errors.Is(handler.Err, io.ErrClosedPipe) || len(handler.Answers) != 0 {
			t.Errorf("outcome %+v", handler)
		}
	})
	if report := failure(t, func(tb testing.TB) {
		connectumtest.Call(tb, connectum.Interceptor{Name: "bad", Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return nil, errOwn }}, connectumtest.Exchange{})
	}); !strings.Contains(report, `"bad"`) {
		t.Errorf("report %q", report)
	}
	none := connectum.Interceptor{Name: "none", Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return nil, nil }}
	if got := connectumtest.Call(t, none, connectumtest.Exchange{}); got.Err != nil || got.Calls != 1 {
		t.Errorf("left alone: %+v", got)
	}
}

func TestCallOfAMethodMakesFakes(t *testing.T) {
	t.Parallel()
	pass := connectum.Wrap("pass", func(next connect.ServerFunc) connect.ServerFunc { return next })
	methods := testService().Methods()
	for i := range methods.Len() {
		got := connectumtest.Call(t, pass, connectumtest.Exchange{Method: methods.Get(i)})
		if got.Err != nil || len(got.Received) == 0 || len(got.Answers) == 0 {
			t.Errorf("%s: %+v", methods.Get(i).Name(), got)
		}
	}
	got := connectumtest.Call(t, pass, connectumtest.Exchange{Method: methods.ByName("Echo"), Requests: []proto.Message{&testv1.EchoRequest{Text: "a"}},
		Handler: connectumtest.Answer(&testv1.EchoResponse{Text: "b"})})
	connectumtest.Want(t, got.Answers, []proto.Message{&testv1.EchoResponse{Text: "b"}})
}

func TestCallClientRunsAnInterceptorOverEachKind(t *testing.T) {
	t.Parallel()
	twice := func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			info, _ := connect.CallInfoForClientContext(ctx)
			info.RequestHeader().Set("X-Who", "interceptor")
			return next(ctx, spec)
		}
	}
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		who := ""
		asked := func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
			info, _ := connect.CallInfoForServerContext(ctx)
			who = info.RequestHeader().Get("X-Who")
			return nil
		}
		last := connectumtest.Answer(wrapperspb.String("x"))
		got := connectumtest.CallClient(t, twice, connectumtest.Exchange{Kind: kind, Handler: connectumtest.Step(asked).Then(last)})
		if got.Err != nil || who != "interceptor" || texts(got.Answers) != "x" || got.Calls != 1 {
			t.Errorf("outcome %+v, header %q", got, who)
		}
		failed := connectumtest.CallClient(t, twice, connectumtest.Exchange{Kind: kind, Handler: connectumtest.Fail(connect.NewError(connect.CodeAborted, "no"))})
		connectumtest.WantError(t, failed.Err, connect.CodeAborted, connectumtest.Containing("no"))
	})
}

func TestCallHandlerCallsAStreamOfGeneratedTypes(t *testing.T) {
	t.Parallel()
	server := connect.NewServer()
	testservice.Service{}.Register(server)
	got := connectumtest.CallHandler(t, server, testv1connect.TestServiceSumProcedure, &testv1.SumRequest{Number: 2}, &testv1.SumRequest{Number: 3})
	connectumtest.Want(t, got.Answers, []proto.Message{&testv1.SumResponse{Sum: 5, Count: 2}})
	got = connectumtest.CallHandler(t, server, testv1connect.TestServiceCountProcedure, &testv1.CountRequest{Count: 2, Text: "a"})
	connectumtest.Want(t, got.Answers, []proto.Message{&testv1.CountResponse{Number: 1, Text: "a"}, &testv1.CountResponse{Number: 2, Text: "a"}})
	if got.Err != nil || len(got.Received) != 1 {
		t.Errorf("outcome %+v", got)
	}
	got = connectumtest.CallHandler(t, server, "/no.such/Procedure")
	connectumtest.WantError(t, got.Err, connect.CodeUnimplemented)
}

func TestFakeStreamsReceiveAndKeep(t *testing.T) {
	t.Parallel()
	one := wrapperspb.String("one")
	into := new(wrapperspb.StringValue)
	server := &connectumtest.ServerStream{Requests: []proto.Message{one}}
	if err := server.Receive(into); err != nil || into.GetValue() != "one" {
		t.Errorf("%v, %v", into, err)
	}
	if err := server.Receive(into); !errors.Is(err, io.EOF) {
		t.Errorf("end %v", err)
	}
	if server.HeadersSent() || server.Send(one) != nil || !server.HeadersSent() || texts(server.Sent()) != "one" {
		t.Errorf("sent %v", server.Sent())
	}
	server = &connectumtest.ServerStream{End: io.ErrUnexpectedEOF, SendError: io.ErrClosedPipe}
	if err := server.Receive(into); err != io.ErrUnexpectedEOF {
		t.Errorf("end %v", err)
	}
	if err := server.Send(one); err != io.ErrClosedPipe {
		t.Errorf("send %v", err)
	}

	client := &connectumtest.ClientStream{Answers: []proto.Message{one}}
	if err := client.Send(one); err != nil || client.SendClosed() {
		t.Error(err)
	}
	if err := client.Receive(new(wrapperspb.BoolValue)); err == nil {
		t.Error("received a message of another type")
	}
	_ = client.CloseSend()
	if err := client.Send(one); !errors.Is(err, io.EOF) || !client.SendClosed() || client.Closed() || texts(client.Sent()) != "one" {
		t.Errorf("send after CloseSend: %v, sent %v", err, client.Sent())
	}
	_ = client.Close()
	if err := client.Receive(into); !errors.Is(err, io.EOF) || !client.Closed() {
		t.Errorf("receive after Close: %v", err)
	}
}
