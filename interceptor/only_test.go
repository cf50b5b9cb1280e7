package interceptor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
)

// mark is a link that leaves its name in the response headers.
func mark(name string) connectum.Interceptor {
	return connectum.Wrap(name, func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			if info, ok := connect.CallInfoForServerContext(ctx); ok {
				info.ResponseHeader().Add("Mark", name)
			}
			return next(ctx, spec, stream)
		}
	})
}

// Behaviours 98: all that match run, general to specific, each list in its
// order; what matches nothing passes; and that for every call anew.
func TestByProcedureRunsGeneralToSpecific(t *testing.T) {
	t.Parallel()
	const service = "connectum.rules.test.v1.RuleService"
	srv := serve(connectumtest.RecordLogs(t), answer("x"), interceptor.ByProcedure(map[string][]connectum.Interceptor{
		service + "/Put":  {mark("exact 1"), mark("exact 2")},
		service + "/*":    {mark("service")},
		"*":               {mark("global 1"), mark("global 2")},
		service + "/List": {interceptor.Except(mark("never"), "*")},
	})...)
	everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
		want := []string{"global 1", "global 2", "service"}
		if kind == connect.StreamTypeUnary {
			want = append(want, "exact 1", "exact 2")
		}
		for range 2 {
			ctx, info := connect.NewClientContext(t.Context())
			if _, err := call(ctx, client, kind, "a"); err != nil {
				t.Fatal(err)
			}
			connectumtest.Want(t, info.ResponseHeader().Values("Mark"), want)
		}
	})
	connectumtest.Want(t, srv.Chain(servicePath+"Put"), []string{"guard", "global 1", "global 2", "service", "exact 1", "exact 2"})
}

func TestOnlyAndExcept(t *testing.T) {
	t.Parallel()
	put, talk := "connectum.rules.test.v1.RuleService/Put", "connectum.rules.test.v1.RuleService/Talk"
	for name, c := range map[string]struct {
		link connectum.Interceptor
		want string // methods that have it, of Put, List and Talk
	}{
		"only one":          {interceptor.Only(mark("m"), put), "Put"},
		"only two":          {interceptor.Only(mark("m"), put, talk), "Put Talk"},
		"only service":      {interceptor.Only(mark("m"), "connectum.rules.test.v1.RuleService/*"), "Put List Talk"},
		"only all":          {interceptor.Only(mark("m"), "*"), "Put List Talk"},
		"except one":        {interceptor.Except(mark("m"), put), "List Talk"},
		"except all":        {interceptor.Except(mark("m"), "*"), ""},
		"a kind":            {interceptor.OnlyKinds(mark("m"), connect.StreamTypeBidi), "Talk"},
		"two kinds":         {interceptor.OnlyKinds(mark("m"), connect.StreamTypeBidi, connect.StreamTypeServer), "List Talk"},
		"a kind of service": {interceptor.Except(interceptor.OnlyKinds(mark("m"), connect.StreamTypeBidi, connect.StreamTypeUnary), talk), "Put"},
	} {
		srv := serve(connectumtest.RecordLogs(t), answer("x"), c.link)
		if err := srv.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, method := range []string{"Put", "List", "Talk"} {
			if len(srv.Chain(servicePath+method)) > 1 {
				got = append(got, method)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// Behaviours 98: invalid keys are rejected, errors propagate.
func TestPatternsThatCoverNothingAreStartErrors(t *testing.T) {
	t.Parallel()
	inner := errors.New("inner")
	failing := connectum.Interceptor{Name: "failing", Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return nil, inner }}
	undone := connectum.Interceptor{Name: "undone", Bind: mark("x").Bind, Done: func([]connect.Spec) error { return inner }}
	for want, link := range map[string]connectum.Interceptor{
		`Only("shop.v1.Orders/*") covers no procedure`:                      interceptor.Only(mark("m"), "shop.v1.Orders/*"),
		`Except("connectum.rules.test.v1.RuleService/Putt") covers no proc`: interceptor.Except(mark("m"), "connectum.rules.test.v1.RuleService/Putt"),
		`Only("connectum.rules.test.v1.Rule/*") covers no procedure`:        interceptor.Only(mark("m"), "connectum.rules.test.v1.Rule/*"),
		`Only("Put"): want "pkg.Service/Method"`:                            interceptor.Only(mark("m"), "Put"),
		`Only("a*/b"): want`:                                                interceptor.Only(mark("m"), "a*/b"),
		`Only("/a.B/C"): want`:                                              interceptor.Only(mark("m"), "/a.B/C"),
		`Only(""): want`:                                                    interceptor.Only(mark("m"), ""),
		`Only has no pattern`:                                               interceptor.Only(mark("m")),
		`bind interceptor "failing"`:                                        interceptor.Only(failing, "*"),
		`interceptor "undone": inner`:                                       interceptor.Only(undone, "*"),
		`Bind is nil`:                                                       interceptor.Only(connectum.Interceptor{Name: "empty"}, "*"),
		`OnlyKinds has no kind`:                                             interceptor.OnlyKinds(mark("m")),
		`RuleService/Put: Bind is nil`:                                      interceptor.OnlyKinds(connectum.Interceptor{Name: "empty"}, connect.StreamTypeUnary),
		`Only("connectum.rules.test.v1.RuleService/Put") covers no`:         interceptor.OnlyKinds(interceptor.Only(mark("m"), "connectum.rules.test.v1.RuleService/Put"), connect.StreamTypeBidi),
	} {
		err := serve(connectumtest.RecordLogs(t), answer("x"), link).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start error %v, want %s", err, want)
		}
	}
}

// A link may be used by two servers, each with procedures of its own.
func TestALinkOfTwoServersIsCheckedForEach(t *testing.T) {
	t.Parallel()
	link := interceptor.Only(mark("m"), "connectum.rules.test.v1.RuleService/*")
	if err := serve(connectumtest.RecordLogs(t), answer("x"), link).Check(); err != nil {
		t.Error(err)
	}
	if err := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{link}}).Check(); err == nil {
		t.Error("a server without procedures has one that is covered")
	}
}

// Servers that share a link may be set up at the same time: what one of them is
// told must not be about the other.
func TestALinkOfTwoServersIsCheckedForEachWhenTheyStartTogether(t *testing.T) {
	t.Parallel()
	begun, done := make(chan struct{}), make(chan error)
	slow := connectum.Interceptor{Name: "slow", Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
		if spec.Procedure == "/slow.v1.Slow/Call" {
			close(begun)
			<-done
		}
		return nil, nil
	}}
	with := func(chain ...connectum.Interceptor) *connectum.Server {
		srv := connectum.New(connectum.Config{Interceptors: chain})
		srv.RPC().Register(connect.Method{
			Spec:    connect.Spec{Procedure: "/slow.v1.Slow/Call"},
			Handler: func(context.Context, connect.Spec, connect.ServerStream) error { return nil },
		})
		return srv
	}
	link := interceptor.Only(mark("m"), "slow.v1.Slow/*")
	set := make(chan error)
	go func() { set <- with(slow, link).Check() }()
	<-begun
	if err := with(link).Check(); err != nil {
		t.Errorf("the second: %v", err)
	}
	close(done)
	if err := <-set; err != nil {
		t.Errorf("the first: %v", err)
	}
}

func FuzzPatterns(f *testing.F) {
	for _, p := range []string{"*", "a.B/*", "a.B/C", "", "/", "*/C", "a.B/*C"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		const procedure = "/a.B/C"
		link := interceptor.Only(mark("m"), pattern)
		bound, err := link.Bind(connect.Spec{Procedure: procedure})
		if err != nil {
			t.Fatal(err)
		}
		covers := pattern == "*" || pattern == "a.B/*" || pattern == "a.B/C"
		if (bound != nil) != covers {
			t.Errorf("%q covers %s: %v", pattern, procedure, bound != nil)
		}
		if (link.Done([]connect.Spec{{Procedure: procedure}}) == nil) != covers {
			t.Errorf("%q covers nothing and is no mistake", pattern)
		}
	})
}
