package interceptor_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
)

// Behaviours 79 and 80: the callback learns what the client does not, and the
// log nothing.
func TestOnFailureIsToldInPlaceOfTheLog(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []interceptor.Failed
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, play, interceptor.Errors(interceptor.ErrorsConfig{
		Table: table, Logger: logs.Logger(),
		OnFailure: func(_ context.Context, f interceptor.Failed) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, f)
		},
	}))
	everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
		for _, s := range scenarios {
			if s.streams && kind&connect.StreamTypeServer == 0 || s.do == nil {
				continue
			}
			mu.Lock()
			told = nil
			mu.Unlock()
			_, err := call(t.Context(), client, kind, s.name)
			mu.Lock()
			got := told
			mu.Unlock()
			if s.failure == "" {
				if len(got) > 0 {
					t.Errorf("%s: told %v", s.name, got)
				}
				continue
			}
			if len(got) != 1 {
				t.Errorf("%s: told %v", s.name, got)
				continue
			}
			f := got[0]
			if f.Spec.Procedure != servicePath+kinds[kind] || f.Told.Code() != s.code || !strings.Contains(f.Cause.Error(), s.failure) {
				t.Errorf("%s: told %+v", s.name, f)
			}
			if f.ID != "" && !strings.HasSuffix(err.Error(), f.ID) {
				t.Errorf("%s: the id %q is not the client's: %v", s.name, f.ID, err)
			}
			if thrown := strings.HasPrefix(s.failure, "panic"); f.Panic != thrown || (len(f.Stack) > 0) && !strings.Contains(string(f.Stack), "chain_test.go") {
				t.Errorf("%s: panic %v, stack %s", s.name, f.Panic, f.Stack)
			}
		}
	})
	for _, what := range []string{"call failed", "handler panicked"} {
		if lines := logs.Find(what); len(lines) > 0 {
			t.Errorf("logged besides: %v", lines)
		}
	}
}

// The server counts what the chain has masked.
func TestTheServerCountsFailuresOfTheChain(t *testing.T) {
	t.Parallel()
	srv := serve(connectumtest.RecordLogs(t), play, interceptor.Errors(interceptor.ErrorsConfig{OnFailure: func(context.Context, interceptor.Failed) {}}))
	client := connectumtest.Client(t, srv)
	for _, name := range []string{"plain", "panic text", "made"} {
		_, _ = call(t.Context(), client, connect.StreamTypeUnary, name)
	}
	got := map[string]float64{}
	for s := range srv.Metrics() {
		got[s.Name] += s.Value
	}
	if got["connectum_panics_total"] != 1 || got["connectum_errors_masked_total"] != 1 {
		t.Errorf("panics %v, masked %v", got["connectum_panics_total"], got["connectum_errors_masked_total"])
	}
}

func TestStacksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stacks, panics := 0, 0
		srv := serve(connectumtest.RecordLogs(t), play, interceptor.Errors(interceptor.ErrorsConfig{OnFailure: func(_ context.Context, f interceptor.Failed) {
			panics++
			if len(f.Stack) > 0 {
				stacks++
			}
		}}))
		client := connectumtest.Client(t, srv)
		for range 100 {
			_, _ = call(t.Context(), client, connect.StreamTypeUnary, "panic text")
		}
		if panics != 100 || stacks != 10 {
			t.Errorf("%d panics with %d stacks in one second", panics, stacks)
		}
		<-time.After(2 * time.Second)
		_, _ = call(t.Context(), client, connect.StreamTypeUnary, "panic text")
		if stacks != 11 {
			t.Errorf("%d stacks after two seconds more", stacks)
		}
	})
}

// A handler that cuts the connection, or ends its goroutine, is left to the
// server.
func TestAbortAndGoexitPass(t *testing.T) {
	t.Parallel()
	reported := 0
	errs := interceptor.Errors(interceptor.ErrorsConfig{OnFailure: func(context.Context, interceptor.Failed) { reported++ }})
	logs := connectumtest.RecordLogs(t)
	_, err := call(t.Context(), connectumtest.Client(t, serve(logs, throw(http.ErrAbortHandler), errs)), connect.StreamTypeUnary, "a")
	connectumtest.WantError(t, err, connect.CodeUnavailable)

	exit := func(context.Context, connect.Spec, connect.ServerStream) error {
		runtime.Goexit()
		return nil
	}
	run := connectumtest.Start(t, serve(logs, exit, errs))
	_, err = call(t.Context(), run.Connect(), connect.StreamTypeUnary, "a")
	if err == nil {
		t.Error("a call whose handler has gone succeeded")
	}
	logs.Await(t, "handler called runtime.Goexit")
	if reported != 0 {
		t.Errorf("%d failures reported", reported)
	}
}

// A call that is ended from outside has one reason, and no failure.
func TestACallThatIsEndedIsNoFailure(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		connectum.End(ctx, connect.NewError(connect.CodeAborted, "enough"))
		<-ctx.Done()
		return errors.New("query: connection torn")
	}, interceptor.Defaults(interceptor.Config{Logger: logs.Logger(), Log: &interceptor.LogConfig{}})...)
	everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
		before := len(logs.Records())
		_, err := call(t.Context(), client, kind, "a")
		connectumtest.WantError(t, err, connect.CodeAborted, connectumtest.Matching("^enough$"))
		checkLog(t, logs, before, scenario{name: "ended", code: connect.CodeAborted}, err)
	})
}

func TestClientsWhoLeaveAreNoFailure(t *testing.T) {
	t.Parallel()
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		logs := connectumtest.RecordLogs(t)
		begun := make(chan struct{})
		srv := serve(logs, func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
			close(begun)
			<-ctx.Done()
			return errors.New("query: connection torn")
		}, interceptor.Defaults(interceptor.Config{Logger: logs.Logger(), Log: &interceptor.LogConfig{}})...)
		run := connectumtest.Start(t, srv)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-begun
			cancel()
		}()
		_, err := call(ctx, run.GRPC(), kind, "a")
		if err == nil {
			t.Error("a call that was cancelled succeeded")
		}
		line := logs.Await(t, "call")
		if line.Message != "call" || line.Attrs["code"] != "canceled" || line.Level.String() != "INFO" {
			t.Errorf("the line of the call: %+v", line)
		}
	})
}

func TestRulesThatNeverMatchAreStartErrors(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Interceptors: interceptor.Defaults(interceptor.Config{
		Errors: interceptor.ErrorsConfig{Table: []interceptor.ErrorRule{
			{},
			interceptor.ErrorIs(nil, connect.CodeNotFound, "gone"),
			interceptor.ErrorIs(errStock, 99, "gone"),
			interceptor.ErrorAs[*connect.Error](nil),
			interceptor.ErrorIs(errStock, connect.CodeNotFound, "gone"),
		}},
	})})
	want := `connectum: interceptor "errors": ErrorsConfig.Table[0] is empty: make rules with ErrorIs and ErrorAs
ErrorsConfig.Table[1]: ErrorIs(nil) matches no error
ErrorsConfig.Table[2]: ErrorIs(stock: shelf 7 of secret-warehouse is empty): no call fails with code_99
ErrorsConfig.Table[3]: ErrorAs has no function`
	if err := srv.Check(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDetailsTakeOneCallEach(t *testing.T) {
	t.Parallel()
	err := connect.NewError(connect.CodeAborted, "x").
		WithDetail(interceptor.BadRequest(interceptor.FieldViolation{Field: "end", Description: "before start", Reason: "ORDER"})).
		WithDetail(interceptor.RetryInfo(-time.Second)).
		WithDetail(interceptor.ErrorInfo("STOCK\xff_EMPTY", "shop.example.com", map[string]string{"sku": "TEA\xff"})).
		WithDetail(interceptor.ResourceInfo("order", "tea-1", "is gone"))
	bad, _ := connectumtest.Detail[*errdetails.BadRequest](err)
	connectumtest.Want(t, bad, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "end", Description: "before start", Reason: "ORDER"}}})
	retry, _ := connectumtest.Detail[*errdetails.RetryInfo](err)
	if d := retry.GetRetryDelay().AsDuration(); retry == nil || d != 0 {
		t.Errorf("retry after %v", d)
	}
	info, _ := connectumtest.Detail[*errdetails.ErrorInfo](err)
	connectumtest.Want(t, info, &errdetails.ErrorInfo{Reason: "STOCK_EMPTY", Domain: "shop.example.com", Metadata: map[string]string{"sku": "TEA"}})
	resource, _ := connectumtest.Detail[*errdetails.ResourceInfo](err)
	connectumtest.Want(t, resource, &errdetails.ResourceInfo{ResourceType: "order", ResourceName: "tea-1", Description: "is gone"})
}
