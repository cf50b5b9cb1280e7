package telemetry

import (
	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/propagation"
)

// carrier lets a propagator read and write the headers of a call.
type carrier connect.Header

var _ propagation.ValuesGetter = (*carrier)(nil)

// canonical spares the headers of W3C the allocation that their names cost
// Connect, which looks names up as net/http writes them.
func canonical(key string) string {
	switch key {
	case "traceparent":
		return "Traceparent"
	case "tracestate":
		return "Tracestate"
	case "baggage":
		return "Baggage"
	}
	return key
}

func (c *carrier) Get(key string) string      { return (*connect.Header)(c).Get(canonical(key)) }
func (c *carrier) Values(key string) []string { return (*connect.Header)(c).Values(canonical(key)) }
func (c *carrier) Set(key, value string)      { (*connect.Header)(c).Set(canonical(key), value) }

func (c *carrier) Keys() []string {
	var keys []string
	for key := range (*connect.Header)(c).All() {
		keys = append(keys, key)
	}
	return keys
}
