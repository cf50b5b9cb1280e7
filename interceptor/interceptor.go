// Package interceptor assembles the chain around handlers in its one order:
//
//	server:  guard ─► telemetry ─► log ─► errors ─► limiter ─► bulkhead ─► rate limit
//	               ─► method timeout ─► stream limits ─► validation ─► handler
//	client:  propagate ─► telemetry ─► validation ─► fallback ─► breaker ─► retry
//	               ─► hedging ─► attempt timeout ─► transport
//
// The guard is the server's own ([connectum.Server]). Of the rest, errors and
// validation are on unless they are left out, everything else is off unless it
// is asked for:
//
//	srv := connectum.New(connectum.Config{
//		Interceptors: interceptor.Defaults(interceptor.Config{
//			Log:          &interceptor.LogConfig{},
//			Bulkhead:     resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100}),
//			StreamLimits: resilience.StreamLimits{Idle: 5 * time.Minute},
//		}),
//	})
//
// Every link works for unary calls and all kinds of streams, behind every door.
// Whatever depends on the procedure alone is settled before serving, and a link
// that has nothing to do for a procedure is not in its chain: [Config.Explain]
// prints what is. [Only], [Except] and [ByProcedure] say where a link applies.
//
// Infrastructure ([connectum.Server.System]: health) is outside the chain.
package interceptor

import (
	"log/slog"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/resilience"
	"github.com/connectum-go/connectum/validate"
)

// Config says what is in the chain of a server. The zero value is errors and
// validation.
type Config struct {
	// Telemetry is outermost, so that it sees every call and its final
	// verdict. The default is none.
	Telemetry connectum.Interceptor

	// Log writes a line for each call. The default is no line.
	Log *LogConfig

	// Errors maps errors of the application and says who learns of failures.
	// See [Errors]. The default is on, with an empty table.
	Errors        ErrorsConfig
	WithoutErrors bool

	// Limiter finds out how many calls may run at one time.
	// The default is none.
	Limiter *resilience.Limiter

	// Bulkhead bounds the calls that run at one time. The default is none.
	Bulkhead *resilience.Bulkhead

	// RateLimit bounds how often calls begin. The default is none.
	RateLimit *resilience.RateLimit

	// MethodTimeout is the option of methods that bounds their calls, see
	// [resilience.MethodTimeout]. The default is none; the server's own
	// Limits.Timeout holds in any case.
	MethodTimeout protoreflect.ExtensionType

	// StreamLimits bounds the time of streams. The default is no limit.
	StreamLimits resilience.StreamLimits

	// Validation holds messages to the rules of their schema, see [validate.New].
	// The default is on, for requests.
	Validation        validate.Config
	WithoutValidation bool

	// Logger receives the lines of Log and Errors, where these have none of
	// their own. The default is [slog.Default], looked up for each line.
	Logger *slog.Logger
}

// Defaults returns the chain that cfg describes, outermost first. More links
// may be put anywhere in it, by their names; appended they are innermost.
func Defaults(cfg Config) []connectum.Interceptor {
	var chain []connectum.Interceptor
	for _, s := range cfg.slots() {
		if s.on {
			chain = append(chain, s.link())
		}
	}
	return chain
}

// slot is a place in the order.
type slot struct {
	name     string // of the link
	on       bool
	settings string
	link     func() connectum.Interceptor
}

// slots is the order.
func (c Config) slots() []slot {
	if c.Errors.Logger == nil {
		c.Errors.Logger = c.Logger
	}
	var log LogConfig
	if c.Log != nil {
		log = *c.Log
		if log.Logger == nil {
			log.Logger = c.Logger
		}
	}
	telemetry := c.Telemetry.Name
	if telemetry == "" {
		telemetry = "telemetry"
	}
	return []slot{
		{telemetry, c.Telemetry.Bind != nil, "", func() connectum.Interceptor { return c.Telemetry }},
		{"log", c.Log != nil, log.String(), func() connectum.Interceptor { return Log(log) }},
		{"errors", !c.WithoutErrors, c.Errors.String(), func() connectum.Interceptor { return Errors(c.Errors) }},
		{"limiter", c.Limiter != nil, settings(c.Limiter), func() connectum.Interceptor { return c.Limiter.Interceptor() }},
		{"bulkhead", c.Bulkhead != nil, settings(c.Bulkhead), func() connectum.Interceptor { return c.Bulkhead.Interceptor() }},
		{"rate-limit", c.RateLimit != nil, settings(c.RateLimit), func() connectum.Interceptor { return c.RateLimit.Interceptor() }},
		{"method-timeout", c.MethodTimeout != nil, optionName(c.MethodTimeout), func() connectum.Interceptor { return resilience.MethodTimeout(c.MethodTimeout) }},
		{"stream-limits", !c.StreamLimits.IsZero(), c.StreamLimits.String(), c.StreamLimits.Interceptor},
		{"validate", !c.WithoutValidation, c.Validation.String(), func() connectum.Interceptor { return validate.New(c.Validation) }},
	}
}

// settings is the one line of a policy, "" for none.
func settings[P interface {
	comparable
	String() string
}](policy P) string {
	var none P
	if policy == none {
		return ""
	}
	return policy.String()
}

func optionName(option protoreflect.ExtensionType) string {
	if option == nil {
		return ""
	}
	return "as " + string(option.TypeDescriptor().FullName()) + " says"
}
