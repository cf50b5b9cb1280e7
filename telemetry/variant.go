package telemetry

import (
	"sync"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/connectum-go/connectum"
)

// doorKey is the attribute that tells by which door a call came to a server.
const doorKey = attribute.Key("connectum.door")

// other stands for what is not known beforehand, as the conventions have it.
const other = "_OTHER"

// way is how a call travels: what the labels of a procedure depend on besides.
type way struct {
	protocol string         // of Connect's CallInfo
	door     connectum.Door // of servers
	address  string         // of the server, at its clients
}

// procedure is what is prepared for one procedure on one side.
type procedure struct {
	t           *Telemetry
	method      string // the label
	kind        trace.SpanKind
	streams     bool
	instruments *instruments            // nil: no metrics
	open        []trace.SpanStartOption // of clients, who learn the way of a call later
	mu          sync.Mutex              // held to add to variants
	variants    atomic.Pointer[[]*variant]
}

// variant is what is prepared for calls of a procedure that come one way.
type variant struct {
	way
	name       string // of spans
	start      []trace.SpanStartOption
	attributes []attribute.KeyValue // of every span and point
	begin      []attribute.KeyValue // those that a span does not start with
	sizes      []metric.RecordOption
	outcomes   [connect.CodeUnauthenticated + 1]outcome
}

// outcome is how a call ends.
type outcome struct {
	attributes []attribute.KeyValue // of the span
	record     []metric.RecordOption
	failed     bool
}

// most is how many ways one procedure may have. There are as many protocols and
// doors as there is code for, and a client has one server.
const most = 32

func (t *Telemetry) newProcedure(spec connect.Spec, method string, kind trace.SpanKind, in *instruments) *procedure {
	p := &procedure{t: t, method: method, kind: kind, instruments: in, streams: spec.StreamType != connect.StreamTypeUnary}
	p.variants.Store(new([]*variant))
	return p
}

// by returns what is prepared for w, and prepares it for the first call.
func (p *procedure) by(w way) *variant {
	for _, v := range *p.variants.Load() {
		if v.way == w {
			return v
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have := *p.variants.Load()
	for _, v := range have {
		if v.way == w {
			return v
		}
	}
	if len(have) > most {
		return have[most]
	}
	if len(have) == most {
		w = way{protocol: other, door: other}
	}
	v := p.newVariant(w)
	grown := append(have[:len(have):len(have)], v)
	p.variants.Store(&grown)
	return v
}

func (p *procedure) newVariant(w way) *variant {
	keep := func(all ...attribute.KeyValue) []attribute.KeyValue {
		var kept []attribute.KeyValue
		for _, a := range all {
			if f := p.t.cfg.KeepAttribute; f == nil || a.Key == doorKey || f(a.Key) {
				kept = append(kept, a)
			}
		}
		return kept
	}
	system := systemOf(w.protocol)
	all := []attribute.KeyValue{system, semconv.RPCMethod(p.method)}
	if p.kind == trace.SpanKindServer {
		all = append(all, doorKey.String(string(w.door)))
	} else if w.address != "" {
		all = append(all, addressOf(w.address)...)
	}
	all = keep(all...)
	v := &variant{way: w, name: p.method, attributes: all, begin: all, start: []trace.SpanStartOption{trace.WithSpanKind(p.kind)}}
	if p.method == other {
		v.name = system.Value.AsString() // as the conventions have it
	}
	if p.t.early {
		v.start = append(v.start, trace.WithAttributes(all...))
		v.begin = nil
	}
	option := func(attrs []attribute.KeyValue) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	}
	v.sizes = option(all)
	for i := range v.outcomes {
		code := connect.Code(i) //nolint:gosec // below 17
		var attrs []attribute.KeyValue
		if status := statusOf(w.protocol, code); status != "" {
			attrs = append(attrs, semconv.RPCResponseStatusCode(status))
		}
		failed := isFailure(p.kind, code)
		if failed {
			attrs = append(attrs, semconv.ErrorTypeKey.String(statusOf(w.protocol, code)))
		}
		attrs = keep(attrs...)
		v.outcomes[i] = outcome{attributes: attrs, failed: failed,
			record: option(append(all[:len(all):len(all)], attrs...))}
	}
	return v
}

// systemOf tells gRPC, which gRPC-Web is a form of, from Connect, whose
// handlers serve in-process calls.
func systemOf(protocol string) attribute.KeyValue {
	switch protocol {
	case connect.ProtocolNameGRPC, connect.ProtocolNameGRPCWeb:
		return semconv.RPCSystemNameGRPC
	case connect.ProtocolNameConnect, "":
		return semconv.RPCSystemNameConnectrpc
	}
	return semconv.RPCSystemNameKey.String(other)
}

// statusOf spells a code as its protocol does. Connect has none for success.
func statusOf(protocol string, code connect.Code) string {
	if systemOf(protocol) != semconv.RPCSystemNameGRPC {
		if code == 0 {
			return ""
		}
		return code.String()
	}
	return grpcStatus[code]
}

// grpcStatus are the names of https://grpc.io/docs/guides/status-codes.
var grpcStatus = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
	"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// isFailure says which codes are errors: for a client all are, for a server
// those that are not the client's doing.
func isFailure(kind trace.SpanKind, code connect.Code) bool {
	if kind == trace.SpanKindClient {
		return code != 0
	}
	switch code {
	case connect.CodeUnknown, connect.CodeDeadlineExceeded, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeUnavailable, connect.CodeDataLoss:
		return true
	}
	return false
}

// end records how a call has ended on its span, which is not ended here.
func (v *variant) end(span trace.Span, code connect.Code, err error) {
	o := &v.outcomes[code]
	if len(o.attributes) > 0 {
		span.SetAttributes(o.attributes...)
	}
	if !o.failed {
		return
	}
	text := ""
	if err != nil {
		text = explain(span, err)
	}
	span.SetStatus(codes.Error, text)
}
