package connectumtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ReplayOption changes what [Recording.Replay] compares.
type ReplayOption interface{ apply(*replaying) }

type replayOption func(*replaying)

func (o replayOption) apply(r *replaying) { o(r) }

type replaying struct {
	headers map[string]bool // lower case
	fields  map[string]bool
}

// IgnoringHeaders leaves out headers and trailers that are another each time.
func IgnoringHeaders(names ...string) ReplayOption {
	return replayOption(func(r *replaying) {
		for _, name := range names {
			r.headers[strings.ToLower(name)] = true
		}
	})
}

// IgnoringFields leaves out fields of messages at any depth, by their names
// ("created_at") or full names ("acme.v1.User.id").
func IgnoringFields(names ...string) ReplayOption {
	return replayOption(func(r *replaying) {
		for _, name := range names {
			r.fields[name] = true
		}
	})
}

// Replay makes the calls of the recording through client, one after the other,
// and fails the test where they come out differently: answers, errors, headers
// and trailers. Fields marked with debug_redact are left out.
func (r *Recording) Replay(t testing.TB, client *connect.Client, opts ...ReplayOption) {
	t.Helper()
	how := &replaying{headers: map[string]bool{}, fields: map[string]bool{}}
	for _, o := range opts {
		o.apply(how)
	}
	replayed := 0
	for i, want := range r.Calls() {
		if want.Truncated {
			continue
		}
		replayed++
		got, err := replay(t.Context(), client, want)
		if err != nil {
			t.Errorf("call %d: %v", i+1, err)
			continue
		}
		if diff := diffLines(how.text(want), how.text(got)); diff != "" {
			t.Errorf("call %d of the recording comes out differently (- recorded, + now):\n%s", i+1, diff)
		}
	}
	if replayed == 0 {
		t.Error("the recording has no call to replay")
	}
}

// replay makes a recorded call.
func replay(ctx context.Context, client *connect.Client, call Recorded) (Recorded, error) {
	method, err := methodOf(call.Procedure)
	if err != nil {
		return call, err
	}
	ctx, info := connect.NewClientContext(ctx)
	var fault error
	now := Recorded{Procedure: call.Procedure, Requests: call.Requests}
	now.Responses, fault = converse(ctx, client, specOf(method), call.Requests)
	for _, msg := range now.Responses {
		redact(msg)
	}
	if fault != nil {
		e := asError(fault)
		now.Err = connect.NewError(e.Code(), publicMessage(e))
		for _, d := range e.Details() {
			box := detailBox(d)
			redact(box)
			now.Err = now.Err.WithDetail(&connect.ErrorDetail{Type: d.Type, Value: box.GetValue()})
		}
	}
	now.Header, now.Trailer = recordable(info.ResponseHeader()), recordable(info.ResponseTrailer())
	return now, nil
}

// text returns a call as text, without what is to be ignored.
func (r *replaying) text(c Recorded) string {
	var b strings.Builder
	fmt.Fprintln(&b, c.Procedure)
	for _, msg := range c.Requests {
		fmt.Fprintf(&b, "  request %s\n", textOf(msg))
	}
	r.header(&b, "header", c.Header)
	for _, msg := range c.Responses {
		msg = proto.Clone(msg)
		clearFields(msg, func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			return r.fields[string(fd.Name())] || r.fields[string(fd.FullName())]
		})
		fmt.Fprintf(&b, "  answer  %s\n", textOf(msg))
	}
	if c.Err != nil {
		writeError(&b, c.Err)
	}
	r.header(&b, "trailer", c.Trailer)
	return b.String()
}

func (r *replaying) header(b *strings.Builder, what string, h map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !r.headers[strings.ToLower(name)] {
			fmt.Fprintf(b, "  %-7s %s: %s\n", what, name, strings.Join(h[name], ", "))
		}
	}
}

// Register registers the services of the recording on server as fakes that
// answer as recorded: a call gets the first recorded answer to equal requests
// that has not been given yet, or else the last that has. Of a bidi stream only
// the first request is looked at; it gets one answer for each request, and the
// rest when the client has sent its last. Any other call fails with
// failed_precondition.
func (r *Recording) Register(server *connect.Server) error {
	type service = protoreflect.ServiceDescriptor
	scripts := map[service]Script{}
	var order []service
	for _, c := range r.Calls() {
		method, err := methodOf(c.Procedure)
		if err != nil {
			return err
		}
		svc := method.Parent().(service)
		if scripts[svc] == nil {
			scripts[svc] = Script{}
			order = append(order, svc)
		}
		if scripts[svc][string(method.Name())] == nil {
			scripts[svc][string(method.Name())] = r.answer(c.Procedure)
		}
	}
	for _, svc := range order {
		scripts[svc].Register(server, svc)
	}
	return nil
}

// answer returns a step that answers calls of procedure as recorded.
func (r *Recording) answer(procedure string) Step {
	var mu sync.Mutex
	var unused, used []Recorded
	for _, c := range r.Calls() {
		if c.Procedure == procedure && !c.Truncated {
			unused = append(unused, c)
		}
	}
	find := func(kind connect.StreamType, requests []proto.Message) (Recorded, bool) {
		mu.Lock()
		defer mu.Unlock()
		fits := func(c Recorded) bool { return sameRequests(kind, c.Requests, requests) }
		if i := slices.IndexFunc(unused, fits); i >= 0 {
			c := unused[i]
			unused = slices.Delete(unused, i, i+1)
			used = append(used, c)
			return c, true
		}
		for _, c := range slices.Backward(used) {
			if fits(c) {
				return c, true
			}
		}
		return Recorded{}, false
	}
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		requests, err := receiveAll(spec, stream)
		if err != nil {
			return err
		}
		c, ok := find(spec.StreamType, requests)
		if !ok {
			return connect.Errorf(connect.CodeFailedPrecondition, "no recorded call of %s has these requests", procedure)
		}
		if info, ok := connect.CallInfoForServerContext(ctx); ok {
			for name, values := range c.Header {
				info.ResponseHeader().SetValues(name, values)
			}
			for name, values := range c.Trailer {
				info.ResponseTrailer().SetValues(name, values)
			}
		}
		for i, msg := range c.Responses {
			if spec.StreamType == connect.StreamTypeBidi && i > 0 && i < len(c.Requests) {
				if err := receive(spec, stream); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
			}
			if err := stream.Send(msg); err != nil {
				return err
			}
		}
		if c.Err != nil {
			return c.Err
		}
		return nil
	}
}

// receiveAll takes the requests that decide what is answered: all of them, but
// only the first of a bidi stream.
func receiveAll(spec connect.Spec, stream connect.ServerStream) ([]proto.Message, error) {
	var requests []proto.Message
	for {
		msg, err := receiveMessage(spec, stream)
		if errors.Is(err, io.EOF) {
			return requests, nil
		}
		if err != nil {
			return nil, err
		}
		redact(msg)
		requests = append(requests, msg)
		if spec.StreamType != connect.StreamTypeClient {
			return requests, nil
		}
	}
}

func sameRequests(kind connect.StreamType, recorded, got []proto.Message) bool {
	if kind == connect.StreamTypeBidi && len(recorded) > 1 {
		recorded = recorded[:1]
	}
	return slices.EqualFunc(recorded, got, proto.Equal)
}
