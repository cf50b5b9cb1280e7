package telemetrytest

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/telemetry"
)

// Parity starts a server and lets call make one call of it through every door,
// the standard ones and then more, with a client that is recorded too. The spans
// and the metrics have to be the same behind all: same names, kinds, attributes,
// events, status and units, and each server span a child of its client's. Only
// these may differ:
//
//	connectum.door            which door it was
//	rpc.system.name           the truth: grpc or connectrpc
//	rpc.response.status_code  and error.type, spelled as the system does, and
//	                          missing for a success of Connect
//	network.peer.*, server.*  in-process there is no network
//	durations, bytes, ids     but there must be bytes behind all, or none; ids of
//	                          errors are among them
//
// build makes a server whose chain has the interceptor. Bidi streams need
// [BidiParity].
func Parity(t *testing.T, cfg telemetry.Config, build func(connectum.Interceptor) *connectum.Server,
	call func(ctx context.Context, client *connect.Client), more ...connectumtest.Door) {
	t.Helper()
	parity(t, cfg, build, call, true, more)
}

// BidiParity is [Parity] without the doors over HTTP/1.1, which carry no bidi
// streams.
func BidiParity(t *testing.T, cfg telemetry.Config, build func(connectum.Interceptor) *connectum.Server,
	call func(ctx context.Context, client *connect.Client), more ...connectumtest.Door) {
	t.Helper()
	parity(t, cfg, build, call, false, more)
}

func parity(t *testing.T, cfg telemetry.Config, build func(connectum.Interceptor) *connectum.Server,
	call func(ctx context.Context, client *connect.Client), half bool, more []connectumtest.Door) {
	t.Helper()
	var first []record
	var name string
	probe := Start(t, cfg) // for the list of doors alone
	for _, door := range append(connectumtest.Start(t, build(probe.Server())).Doors(), more...) {
		if door.HalfDuplex && !half {
			continue
		}
		t.Run(door.Name, func(t *testing.T) {
			got := behind(t, cfg, build, call, door.Name, more)
			if first == nil {
				first, name = got, door.Name
				return
			}
			if diff := cmp.Diff(first, got); diff != "" {
				t.Errorf("recorded otherwise than behind %s (-%s +%s):\n%s", name, name, door.Name, diff)
			}
		})
	}
}

// behind returns what is recorded of one call through a door.
func behind(t testing.TB, cfg telemetry.Config, build func(connectum.Interceptor) *connectum.Server,
	call func(ctx context.Context, client *connect.Client), door string, more []connectumtest.Door) []record {
	t.Helper()
	rec := Start(t, cfg)
	srv := build(rec.Server())
	run := connectumtest.Start(t, srv)
	doors := append(run.Doors(), more...)
	i := slices.IndexFunc(doors, func(d connectumtest.Door) bool { return d.Name == door })
	to, err := doors[i].Open(t.Context(), srv)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	call(t.Context(), connect.NewClient(to, rec.Client()))
	return rec.normal(t)
}

// record is a span or a series without what may differ.
type record struct {
	Name, Kind, Unit string
	Labels           map[string]string
	Events           []Event
	Status           codes.Code
	Description      string
	ChildOf          string
	Count            uint64
	Zero             bool
}

// normal waits for one span of the server for each of the client.
func (r *Recorder) normal(t testing.TB) []record {
	t.Helper()
	var spans []Span
	r.await(func() bool {
		spans = r.Spans()
		return len(spans) > 0 && len(spans)%2 == 0
	})
	if len(spans) == 0 || len(spans)%2 != 0 {
		t.Fatalf("want a span of a server for each of a client: %s", r.names())
	}
	kinds := map[string]string{}
	for _, s := range spans {
		kinds[s.SpanID] = s.Kind.String() + " " + s.Name
	}
	var out []record
	for _, s := range spans {
		if s.ParentID != "" && kinds[s.ParentID] == "" {
			t.Errorf("the parent of %s %q is not there", s.Kind, s.Name)
		}
		var events []Event
		for _, e := range s.Events {
			events = append(events, Event{e.Name, normal(e.Attributes)})
		}
		out = append(out, record{Name: s.Name, Kind: s.Kind.String(), Labels: normal(s.Attributes), Events: events,
			Status: s.Status, Description: errorID.ReplaceAllString(s.Description, "id any"), ChildOf: kinds[s.ParentID]})
	}
	for _, p := range r.Points(t, "", nil) {
		out = append(out, record{Name: p.Name, Kind: "metric", Unit: p.Unit, Labels: normal(p.Labels), Count: p.Count, Zero: p.Sum == 0})
	}
	slices.SortFunc(out, func(a, b record) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	return out
}

// errorID is what differs from call to call in the text of an internal error.
var errorID = regexp.MustCompile(`id [a-z0-9]{6,}`)

func normal(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	for key, value := range labels {
		switch {
		case key == "connectum.door", key == "rpc.system.name", key == "connectum.error_id":
			out[key] = "any"
		case strings.HasPrefix(key, "network.peer."), key == "server.address", key == "server.port":
			delete(out, key)
		case key == "rpc.response.status_code" && value == "OK":
			delete(out, key)
		case key == "rpc.response.status_code", key == "error.type":
			out[key] = strings.ReplaceAll(strings.ToLower(value), "cancelled", "canceled")
		default:
			out[key] = errorID.ReplaceAllString(value, "id any")
		}
	}
	return out
}
