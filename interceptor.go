package connectum

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"connectrpc.com/connect/v2"
)

// Interceptor is one link of the chain around handlers. It is bound once for
// each procedure, before the server serves, so whatever depends on the
// procedure alone is settled then and costs a call nothing.
type Interceptor struct {
	// Name names the interceptor in [Server.Chain] and in errors.
	Name string

	// Bind returns the Connect interceptor for the procedure that spec
	// describes, or nil to leave the procedure alone. An error is a start
	// error of the server. Bind must not keep a handler from other
	// procedures waiting: it runs for one procedure after the other.
	Bind func(spec connect.Spec) (connect.ServerInterceptor, error)

	// Done is called once for each server, after Bind has been called for the
	// last of its procedures, with all of those; an error is a start error. It
	// is where to report what no single procedure shows: a pattern that
	// matches none of them. Servers that share an Interceptor may be set up at
	// the same time, so what Bind has noted is no answer. It may be nil.
	Done func(bound []connect.Spec) error
}

// Wrap returns an Interceptor that applies any Connect interceptor as it is to
// every procedure.
func Wrap(name string, i connect.ServerInterceptor) Interceptor {
	return Interceptor{Name: name, Bind: func(connect.Spec) (connect.ServerInterceptor, error) { return i, nil }}
}

// dispatcher is one connect.Server and the chain its procedures are bound to.
type dispatcher struct {
	server  *Server
	connect *connect.Server
	label   string // for errors: "RPC", "With(a, b)", "System"
	chain   []Interceptor
	system  bool
}

// slot stands where the dispatcher's chain stands: Connect makes one for each
// method when it is registered, before the method's name is known to
// interceptors, and freeze gives it its procedure.
type slot struct {
	d     *dispatcher
	next  connect.ServerFunc
	bound atomic.Pointer[procedure]
}

// procedure is all that is settled about one method before the first call.
type procedure struct {
	d      *dispatcher
	spec   connect.Spec
	limits procedureLimits
	names  []string           // of the interceptors, outermost first
	call   connect.ServerFunc // the chain with the handler
}

// survey is carried by the context of the calls that freeze makes to learn
// which slot serves which method; a slot answers by leaving itself there.
type survey struct{ found *slot }

type surveyKey struct{}

func (d *dispatcher) slot(next connect.ServerFunc) connect.ServerFunc {
	sl := &slot{d: d, next: next}
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if p := sl.bound.Load(); p != nil {
			return p.guard(ctx, spec, stream)
		}
		return sl.unbound(ctx, spec, stream)
	}
}

// unbound answers the survey, and the first call by a transport of the user's
// own, which settles everything.
func (sl *slot) unbound(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
	if v, ok := ctx.Value(surveyKey{}).(*survey); ok {
		v.found = sl
		return nil
	}
	if err := sl.d.server.freeze(); err != nil {
		return connect.NewError(connect.CodeFailedPrecondition, "the server's configuration is wrong").WithCause(err)
	}
	p := sl.bound.Load()
	if p == nil {
		return connect.NewError(connect.CodeUnimplemented, "registered after the server was set up")
	}
	return p.guard(ctx, spec, stream)
}

// bind settles every method registered on d. It must not run while methods
// are being registered.
func (d *dispatcher) bind() ([]*procedure, error) {
	var procedures []*procedure
	var faults []error
	bindOne := func(spec connect.Spec) *procedure {
		v := new(survey)
		_ = d.connect.Call(context.WithValue(context.Background(), surveyKey{}, v), spec.Procedure, nil, nil)
		if v.found == nil {
			return nil
		}
		p := &procedure{d: d, spec: spec, limits: d.server.limits.resolve(spec), call: v.found.next}
		for i := len(d.chain) - 1; i >= 0; i-- {
			ic, err := bindInterceptor(d.chain[i], spec)
			if err != nil {
				faults = append(faults, fmt.Errorf("connectum: bind interceptor %q to %s: %w", d.chain[i].Name, spec.Procedure, err))
				continue
			}
			if ic != nil {
				p.call = ic(p.call)
				p.names = append([]string{d.chain[i].Name}, p.names...)
			}
		}
		v.found.bound.Store(p)
		return p
	}
	for spec := range d.connect.Specs() {
		if len(spec.Procedure) < 4 || spec.Procedure[0] != '/' {
			faults = append(faults, fmt.Errorf("connectum: %s: procedure %q is not of the form /pkg.Service/Method", d.label, spec.Procedure))
			continue
		}
		if p := bindOne(spec); p != nil {
			procedures = append(procedures, p)
		}
	}
	// A fallback for unknown procedures, set with SetUnknownHandler, has a
	// slot too; no procedure of a real service has this name.
	bindOne(connect.Spec{StreamType: connect.StreamTypeBidi, Procedure: "/-/-"})
	return procedures, errors.Join(faults...)
}

// bindInterceptor binds one interceptor and turns a panic of it into an error.
func bindInterceptor(i Interceptor, spec connect.Spec) (ic connect.ServerInterceptor, err error) {
	if i.Bind == nil {
		return nil, errors.New("Bind is nil")
	}
	defer func() {
		if r := recover(); r != nil {
			ic, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	return i.Bind(spec)
}

// bound tells the interceptors which procedures have been bound, all of them.
func (s *Server) bound(procedures []*procedure) error {
	var all []connect.Spec
	own := map[*dispatcher][]connect.Spec{}
	for _, p := range procedures {
		own[p.d] = append(own[p.d], p.spec)
		if !p.d.system {
			all = append(all, p.spec)
		}
	}
	var faults []error
	tell := func(chain []Interceptor, specs []connect.Spec) {
		for _, i := range chain {
			if i.Done == nil {
				continue
			}
			if err := i.Done(slices.Clone(specs)); err != nil {
				faults = append(faults, fmt.Errorf("connectum: interceptor %q: %w", i.Name, err))
			}
		}
	}
	tell(s.given.Interceptors, all)
	for _, d := range s.extra {
		tell(d.chain[len(s.given.Interceptors):], own[d])
	}
	return errors.Join(faults...)
}
