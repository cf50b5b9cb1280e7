package connectum_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestDoneFollowsTheLastBindAndItsErrorStopsTheStart(t *testing.T) {
	t.Parallel()
	var told []string
	recorder := func(name string, fault error) connectum.Interceptor {
		return connectum.Interceptor{
			Name: name,
			Bind: func(connect.Spec) (connect.ServerInterceptor, error) {
				if n := len(told); n == 0 || told[n-1] != name+" bind" {
					told = append(told, name+" bind")
				}
				return nil, nil
			},
			Done: func(bound []connect.Spec) error {
				told = append(told, fmt.Sprintf("%s done, %d procedures", name, len(bound)))
				return fault
			},
		}
	}
	cfg := quiet()
	cfg.Interceptors = []connectum.Interceptor{recorder("outer", nil)}
	srv := connectum.New(cfg)
	testservice.Service{}.Register(srv.With(recorder("extra", errors.New("matches nothing"))))
	nothing := func(context.Context, connect.Spec, connect.ServerStream) error { return nil }
	srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: "/a.B/C"}, Handler: nothing})
	srv.System().Register(connect.Method{Spec: connect.Spec{Procedure: "/a.Infrastructure/C"}, Handler: nothing})
	err := srv.Check()
	if err == nil || !strings.Contains(err.Error(), `interceptor "extra": matches nothing`) {
		t.Errorf("Check: %v", err)
	}
	if n := len(told); n < 4 || told[n-2] != "outer done, 6 procedures" || told[n-1] != "extra done, 5 procedures" {
		t.Errorf("calls %v, want the Dones last, with the procedures that were bound", told)
	}
}

func TestFailuresOfInterceptorsAreCounted(t *testing.T) {
	t.Parallel()
	fail := func(thrown bool) connectum.Interceptor {
		return connectum.Wrap("fail", func(connect.ServerFunc) connect.ServerFunc {
			return func(context.Context, connect.Spec, connect.ServerStream) error {
				return connect.NewError(connect.CodeInternal, "internal error, id 1").
					WithCause(&connectum.Failure{ID: "1", Err: errors.New("x"), Panic: thrown})
			}
		})
	}
	for _, c := range []struct {
		thrown  bool
		counter string
	}{{true, "connectum_panics_total"}, {false, "connectum_errors_masked_total"}} {
		cfg := quiet()
		cfg.Interceptors = []connectum.Interceptor{fail(c.thrown)}
		srv := connectum.New(cfg)
		testservice.Service{}.Register(srv.RPC())
		client := testv1connect.NewTestServiceClient(connect.NewClient(srv.Transport()))
		if _, err := client.Echo(t.Context(), new(testv1.EchoRequest)); connect.CodeOf(err) != connect.CodeInternal {
			t.Fatal(err)
		}
		got := ""
		for s := range srv.Metrics() {
			if s.Value == 1 && (s.Name == "connectum_panics_total" || s.Name == "connectum_errors_masked_total") {
				got += fmt.Sprint(s.Name)
			}
		}
		if got != c.counter {
			t.Errorf("counted %q, want %q", got, c.counter)
		}
	}
}
