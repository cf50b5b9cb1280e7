package interceptor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/validate"
)

// ClientConfig says what is in the chain of a client. The zero value is an
// empty chain.
type ClientConfig struct {
	// Target names what the client calls, in the log and the metrics of the
	// breaker. It must be set when there is one.
	Target string

	// Propagate lists headers that are passed on from an inbound call, see
	// [Propagate]. "traceparent" and "tracestate" (W3C Trace Context) are a
	// good list where Telemetry is not on. The default is none.
	Propagate []string

	// Telemetry sees one call, however many attempts it takes.
	// The default is none.
	Telemetry connect.ClientInterceptor

	// Validation holds requests to their rules before they are sent, see
	// [validate.NewClient]. The default is off: the server does it.
	Validation *validate.Config

	// Fallback answers in place of calls that failed. The default is nothing.
	Fallback []resilience.FallbackRule

	// Breaker stops calling what keeps failing. It counts a call once,
	// whatever Retry made of it. The default is none.
	Breaker *resilience.Breaker

	// Retry repeats calls that may be repeated. The default is none.
	Retry *resilience.Retry

	// Hedge sends slow calls twice. The default is none.
	Hedge *resilience.Hedge

	// AttemptTimeout bounds each attempt of a unary call. The default is the
	// deadline of the call alone.
	AttemptTimeout time.Duration
}

// ClientDefaults returns the chain that cfg describes, outermost first. It is
// the same for a transport to a remote server and for one in-process. It panics
// when cfg.Propagate has a name that [Propagate] refuses, or there is a Breaker
// and no Target.
//
//	client := connect.NewClient(transport, interceptor.ClientDefaults(interceptor.ClientConfig{
//		Retry:          resilience.NewRetry(resilience.RetryConfig{}),
//		AttemptTimeout: time.Second,
//	})...)
func ClientDefaults(cfg ClientConfig) []connect.ClientInterceptor {
	if cfg.Breaker != nil && cfg.Target == "" {
		panic("interceptor: ClientConfig has a Breaker, so it needs a Target")
	}
	var chain []connect.ClientInterceptor
	for _, s := range cfg.slots() {
		if s.on {
			chain = append(chain, s.link())
		}
	}
	return chain
}

// clientSlot is a place in the order of a client.
type clientSlot struct {
	name     string
	on       bool
	settings string
	unary    bool                           // leaves streams alone
	idle     func(spec connect.Spec) string // why it has nothing to do for a call, or ""
	link     func() connect.ClientInterceptor
}

func (c ClientConfig) slots() []clientSlot {
	var rules validate.Config
	if c.Validation != nil {
		rules = *c.Validation
	}
	return []clientSlot{
		{name: "propagate", on: len(c.Propagate) > 0, settings: strings.Join(c.Propagate, ", "),
			link: func() connect.ClientInterceptor { return Propagate(c.Propagate...) }},
		{name: "telemetry", on: c.Telemetry != nil, link: func() connect.ClientInterceptor { return c.Telemetry }},
		{name: "validate", on: c.Validation != nil, settings: rules.String(), idle: c.withoutRules,
			link: func() connect.ClientInterceptor { return validate.NewClient(rules) }},
		{name: "fallback", on: len(c.Fallback) > 0, settings: fmt.Sprintf("%d rules", len(c.Fallback)), unary: true, idle: c.withoutFallback,
			link: func() connect.ClientInterceptor { return resilience.Fallback(c.Fallback...) }},
		{name: "breaker", on: c.Breaker != nil, settings: settings(c.Breaker),
			link: func() connect.ClientInterceptor { return c.Breaker.Interceptor(c.Target) }},
		{name: "retry", on: c.Retry != nil, settings: settings(c.Retry), unary: true, idle: c.withoutRetry,
			link: func() connect.ClientInterceptor { return c.Retry.Interceptor() }},
		{name: "hedging", on: c.Hedge != nil, settings: settings(c.Hedge), unary: true, idle: c.withoutHedging,
			link: func() connect.ClientInterceptor { return c.Hedge.Interceptor() }},
		{name: "attempt-timeout", on: c.AttemptTimeout > 0, settings: c.AttemptTimeout.String(), unary: true,
			link: func() connect.ClientInterceptor { return resilience.AttemptTimeout(c.AttemptTimeout) }},
	}
}

func (c ClientConfig) withoutRules(spec connect.Spec) string {
	link, err := validate.New(*c.Validation).Bind(spec) // a server's link has the same rules
	switch {
	case err != nil:
		return "fails every call: " + err.Error()
	case link == nil:
		return "left out: the messages have no rules"
	}
	return ""
}

func (c ClientConfig) withoutFallback(spec connect.Spec) string {
	if !slices.ContainsFunc(c.Fallback, func(r resilience.FallbackRule) bool { return r.Procedure() == spec.Procedure }) {
		return "left out: no rule is for this procedure"
	}
	return ""
}

func (c ClientConfig) withoutRetry(spec connect.Spec) string {
	switch {
	case c.Retry.Repeats(spec):
		return ""
	case spec.IdempotencyLevel == connect.IdempotencyUnknown:
		return "left out: neither the schema nor Unsafe says that calls may be repeated"
	}
	return "left out: there is one attempt"
}

func (c ClientConfig) withoutHedging(spec connect.Spec) string {
	switch {
	case c.Hedge.Hedges(spec):
		return ""
	case spec.IdempotencyLevel != connect.IdempotencyNoSideEffects:
		return "left out: the schema does not say NO_SIDE_EFFECTS"
	}
	return "left out: there is one attempt"
}
