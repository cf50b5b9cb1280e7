package connectum

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
)

// Limits bounds what clients may use of a server. For every field zero means
// the default and a negative value means no limit, unless the field says
// otherwise. A duration below 1 ms is a mistake: it lacks its unit. All bounds
// hold for each connection, call or message on its own, except those that say
// "of the server".
type Limits struct {
	// MaxReceiveBytes bounds one request message, in bytes after
	// decompression. Over it the call fails with resource_exhausted.
	// The default is 4 MiB, gRPC's own.
	MaxReceiveBytes int

	// MaxJSONBytes bounds one request message in JSON, in bytes after
	// decompression: decoded JSON takes up to sixty times its size, proto
	// far less. MaxReceiveBytes holds as well. The default is 1 MiB.
	MaxJSONBytes int

	// MaxSendBytes bounds one response message, in bytes as sent. Over it
	// the call fails with resource_exhausted: a runaway answer becomes an
	// error instead of an exhausted process. The default is 16 MiB.
	MaxSendBytes int

	// DecodeBudget bounds the request messages of the server that are
	// decoded and in use at one time, in weighted bytes: proto counts
	// eightfold, JSON sixteenfold, messages under 4 KiB not at all. A call
	// that finds no room within 100 ms, or eight budgets waiting before it,
	// fails with resource_exhausted; a message larger than the whole budget
	// is decoded alone. While there is a budget, four messages for each
	// processor that Go uses are decompressed beyond 32 KiB at one time; a
	// call that gets no turn within 1 s fails likewise.
	// The default is 64 MiB.
	DecodeBudget int64

	// CompressMinBytes is the size from which responses are compressed for
	// clients that accept it, in bytes; below it compression costs more than
	// it saves. Negative compresses everything. The default is 1 KiB.
	CompressMinBytes int

	// MaxHeaderBytes bounds the header block of one request, HTTP/2 counting
	// 32 bytes more for each field (RFC 9113 section 6.5.2). Over it the
	// request is answered 431; an HTTP/2 connection is closed for a single
	// field that is larger, or a block of more than twice the bound.
	// The default is 32 KiB. It can't be unlimited, nor below 1 KiB, which
	// hardly a call fits into.
	MaxHeaderBytes int

	// HeaderTimeout bounds the time a client takes to send the header block
	// of an HTTP/1.1 request, or to begin HTTP/2. The default is 5 s.
	HeaderTimeout time.Duration

	// HandshakeTimeout bounds the TLS handshake. The default is 5 s.
	HandshakeTimeout time.Duration

	// IdleTimeout closes a connection that has carried no call for so long.
	// It must be longer than the idle time of a balancer in front, or the
	// balancer uses connections that are being closed under it.
	// The default is 120 s.
	IdleTimeout time.Duration

	// ReadStall bounds the wait for more of a request that is one message
	// (unary and server-streaming calls, plain HTTP): each read that brings
	// bytes starts it anew. Streams of requests may be silent for long and
	// are left to the keepalive. The call fails with deadline_exceeded.
	// The default is 15 s.
	ReadStall time.Duration

	// WriteStall bounds the wait for a client to take more of a response:
	// each write that makes progress starts it anew. The default is 15 s.
	WriteStall time.Duration

	// PingInterval is the silence on an HTTP/2 connection after which it is
	// probed with a PING, and PingTimeout the wait for the answer after
	// which it is closed, its calls cancelled. The defaults are 30 s, below
	// the 60 s of most address translators, and 15 s. Without an interval
	// nothing is probed; the timeout can't be unlimited: negative is its default.
	PingInterval time.Duration
	PingTimeout  time.Duration

	// MaxConcurrentStreams bounds the calls in flight on one HTTP/2
	// connection. The default is 100. It can't be unlimited: negative is a
	// mistake.
	MaxConcurrentStreams int

	// StreamBuffer and ConnBuffer bound the bytes a client may send on one
	// HTTP/2 stream and connection ahead of what handlers have read (the
	// flow-control windows): 64 KiB or more, and less than 4 MiB; whatever else
	// is a mistake. A stream carries at most one StreamBuffer a round trip.
	// The defaults are 256 KiB and 1 MiB.
	StreamBuffer int
	ConnBuffer   int

	// MaxConns bounds the connections of the server. When it is reached the
	// connection that has been idle longest is closed for a new one; if none
	// is idle, the new one is refused. The default is 10 000.
	MaxConns int

	// MaxInFlight bounds the calls of the server in flight; over it calls
	// fail at once with resource_exhausted. Infrastructure
	// ([Server.System]) is exempt. The default is 1 000 for each processor
	// that Go uses.
	MaxInFlight int

	// Timeout bounds a unary call. A client's own shorter deadline holds, a
	// longer one does not. The handler's context ends with it, and what the
	// handler returns later is answered deadline_exceeded. Streams have no
	// such bound; see package interceptor. The default is 30 s.
	Timeout time.Duration

	// MaxConnectionAge asks clients to leave a connection that has lived so
	// long, gracefully, so that load spreads over new replicas; it varies at
	// random by AgeJitter, a fraction of it to both sides, at most 1. Negative
	// jitter is a mistake. The defaults are none and 0.1.
	MaxConnectionAge time.Duration
	AgeJitter        float64

	// PerProcedure overrides some bounds for procedures, by patterns:
	// "pkg.Service/Method", "pkg.Service/*" or "*"; the most specific
	// wins, field by field. A pattern that matches no procedure of the
	// server is a mistake.
	PerProcedure map[string]ProcedureLimits
}

// ProcedureLimits overrides [Limits] for some procedures. For every field
// zero means what Limits says, and negative means no limit.
type ProcedureLimits struct {
	MaxReceiveBytes int           // as in Limits
	MaxJSONBytes    int           // as in Limits
	MaxSendBytes    int           // as in Limits
	ReadStall       time.Duration // as in Limits, also for client and bidi streams when set here
	WriteStall      time.Duration // as in Limits
	Timeout         time.Duration // as in Limits, also for streams when set here
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

func (l Limits) clone() Limits {
	l.PerProcedure = maps.Clone(l.PerProcedure)
	return l
}

// withDefaults fills the zero fields. Negative fields stay: they mean none.
func (l Limits) withDefaults() Limits {
	l.MaxReceiveBytes = cmp.Or(l.MaxReceiveBytes, 4*mib)
	l.MaxJSONBytes = cmp.Or(l.MaxJSONBytes, 1*mib)
	l.MaxSendBytes = cmp.Or(l.MaxSendBytes, 16*mib)
	l.DecodeBudget = cmp.Or(l.DecodeBudget, 64*mib)
	l.CompressMinBytes = cmp.Or(l.CompressMinBytes, 1*kib)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, 32*kib)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 5*time.Second)
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, 5*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 120*time.Second)
	l.ReadStall = cmp.Or(l.ReadStall, 15*time.Second)
	l.WriteStall = cmp.Or(l.WriteStall, 15*time.Second)
	l.PingInterval = cmp.Or(l.PingInterval, 30*time.Second)
	l.PingTimeout = cmp.Or(max(l.PingTimeout, 0), 15*time.Second) // as net/http takes it, which has no other
	l.MaxConcurrentStreams = cmp.Or(l.MaxConcurrentStreams, 100)
	l.StreamBuffer = cmp.Or(l.StreamBuffer, 256*kib)
	l.ConnBuffer = cmp.Or(l.ConnBuffer, 1*mib)
	l.MaxConns = cmp.Or(l.MaxConns, 10_000)
	l.MaxInFlight = cmp.Or(l.MaxInFlight, 1_000*runtime.GOMAXPROCS(0))
	l.Timeout = cmp.Or(l.Timeout, 30*time.Second)
	l.AgeJitter = cmp.Or(l.AgeJitter, 0.1)
	return l
}

// check reports the values that no server can hold.
func (l Limits) check() []error {
	var faults []error
	for name, v := range map[string]int{
		"MaxHeaderBytes":       l.MaxHeaderBytes,
		"MaxConcurrentStreams": l.MaxConcurrentStreams,
	} {
		if v < 0 {
			faults = append(faults, fmt.Errorf("%s is %d: it can't be unlimited", name, v))
		} else if v > 1<<30 { // which fits in every place that it is told
			faults = append(faults, fmt.Errorf("%s is %d: it can't be more than %d", name, v, 1<<30))
		}
	}
	if l.MaxHeaderBytes > 0 && l.MaxHeaderBytes < 1*kib {
		faults = append(faults, fmt.Errorf("MaxHeaderBytes is %d: it can't be less than %d", l.MaxHeaderBytes, 1*kib))
	}
	for name, v := range map[string]int{"StreamBuffer": l.StreamBuffer, "ConnBuffer": l.ConnBuffer} {
		if v != 0 && (v < 64*kib || v >= 4*mib) {
			faults = append(faults, fmt.Errorf("%s is %d: it must be at least 65536 and less than 4194304", name, v))
		}
	}
	if !(l.AgeJitter >= 0 && l.AgeJitter <= 1) { // NaN neither
		faults = append(faults, fmt.Errorf("AgeJitter is %v: it must be between 0 and 1", l.AgeJitter))
	}
	faults = append(faults, checkUnits("", map[string]time.Duration{
		"HeaderTimeout": l.HeaderTimeout, "HandshakeTimeout": l.HandshakeTimeout, "IdleTimeout": l.IdleTimeout,
		"ReadStall": l.ReadStall, "WriteStall": l.WriteStall, "PingInterval": l.PingInterval, "PingTimeout": l.PingTimeout,
		"Timeout": l.Timeout, "MaxConnectionAge": l.MaxConnectionAge,
	})...)
	for pattern, o := range l.PerProcedure {
		faults = append(faults, checkUnits(fmt.Sprintf("PerProcedure[%q].", pattern), map[string]time.Duration{
			"ReadStall": o.ReadStall, "WriteStall": o.WriteStall, "Timeout": o.Timeout,
		})...)
		if !validPattern(pattern) {
			faults = append(faults, fmt.Errorf(
				"PerProcedure[%q]: want \"pkg.Service/Method\", \"pkg.Service/*\" or \"*\"", pattern))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// checkUnits reports durations too short to be meant: Timeout: 30 is 30 ns, after
// which every call has failed.
func checkUnits(prefix string, durations map[string]time.Duration) []error {
	var faults []error
	for name, d := range durations {
		if d > 0 && d < time.Millisecond {
			faults = append(faults, fmt.Errorf("%s%s is %v: it can't be less than 1ms; give it a unit, as in 5*time.Second", prefix, name, d))
		}
	}
	return faults
}

// procedureLimits are the bounds of one procedure, resolved; zero means none.
type procedureLimits struct {
	receive, json, send   int
	readStall, writeStall time.Duration
	timeout               time.Duration
}

// resolve settles the bounds of spec.
func (l *Limits) resolve(spec connect.Spec) procedureLimits {
	streamsRequests := spec.StreamType&connect.StreamTypeClient != 0
	out := procedureLimits{
		receive: l.MaxReceiveBytes, json: l.MaxJSONBytes, send: l.MaxSendBytes,
		readStall: l.ReadStall, writeStall: l.WriteStall, timeout: l.Timeout,
	}
	if streamsRequests {
		out.readStall = 0
	}
	if spec.StreamType != connect.StreamTypeUnary {
		out.timeout = 0
	}
	service, _, _ := strings.Cut(spec.Procedure[1:], "/")
	for _, pattern := range []string{"*", service + "/*", spec.Procedure[1:]} {
		o := l.PerProcedure[pattern]
		out.receive = cmp.Or(o.MaxReceiveBytes, out.receive)
		out.json = cmp.Or(o.MaxJSONBytes, out.json)
		out.send = cmp.Or(o.MaxSendBytes, out.send)
		out.readStall = cmp.Or(o.ReadStall, out.readStall)
		out.writeStall = cmp.Or(o.WriteStall, out.writeStall)
		out.timeout = cmp.Or(o.Timeout, out.timeout)
	}
	out.receive, out.json, out.send = max(out.receive, 0), max(out.json, 0), max(out.send, 0)
	out.readStall, out.writeStall, out.timeout = max(out.readStall, 0), max(out.writeStall, 0), max(out.timeout, 0)
	return out
}

// validPattern reports whether pattern is "*", "pkg.Service/*" or
// "pkg.Service/Method".
func validPattern(pattern string) bool {
	if pattern == "*" {
		return true
	}
	service, method, ok := strings.Cut(pattern, "/")
	return ok && service != "" && method != "" && !strings.ContainsAny(service+method, "/ ") &&
		!strings.Contains(service, "*") && (method == "*" || !strings.Contains(method, "*"))
}

// matches reports whether pattern covers procedure ("/pkg.Service/Method").
func matches(pattern, procedure string) bool {
	if pattern == "*" || pattern == procedure[1:] {
		return true
	}
	service, ok := strings.CutSuffix(pattern, "*")
	return ok && service != "" && strings.HasPrefix(procedure[1:], service)
}
