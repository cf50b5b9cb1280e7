package connectumtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Parity runs scenario in-process and through every other door, and fails the
// test where calls do not come out the same: answers, errors with their codes,
// messages and details, headers and trailers. Headers that belong to a protocol
// or to HTTP are left out, so are the ids of internal errors, and sizes, which
// in-process calls do not have.
//
// The scenario must do the same each time, one call after the other, and make
// its calls through the client it is given, whose state it finds as the last
// run left it. Doors over HTTP/1.1 are left out when it opens bidi streams.
func Parity(t testing.TB, srv *connectum.Server, scenario func(t testing.TB, client *connect.Client), more ...Door) {
	t.Helper()
	Start(t, srv).Parity(t, scenario, more...)
}

// Parity is the function [Parity] for a server that runs.
func (s *Server) Parity(t testing.TB, scenario func(t testing.TB, client *connect.Client), more ...Door) {
	t.Helper()
	var base *transcript
	for _, d := range slices.Concat(s.Doors(), more) {
		if base != nil && base.bidi && d.HalfDuplex {
			continue
		}
		transport, err := d.Open(t.Context(), s.run.Server)
		if err != nil {
			t.Errorf("open door %s: %v", d.Name, err)
			continue
		}
		failed := t.Failed()
		tr := new(transcript)
		scenario(t, connect.NewClient(transport, tr.intercept))
		if t.Failed() && !failed {
			t.Errorf("the scenario failed by door %s", d.Name)
		}
		if base == nil {
			base = tr
			if len(tr.calls) == 0 {
				t.Error("the scenario made no call through its client: parity of nothing")
				return
			}
			continue
		}
		if diff := diffLines(base.String(), tr.String()); diff != "" {
			t.Errorf("by door %s calls come out differently (- in-process, + %s):\n%s", d.Name, d.Name, diff)
		}
	}
}

// transcript is what a client saw of its calls, in their order.
type transcript struct {
	calls []*heard
	bidi  bool
}

// heard is what a client saw of one call.
type heard struct {
	spec    connect.Spec
	info    *connect.CallInfo
	mu      sync.Mutex // both directions of a stream may be in use
	answers []string
	err     error
	gone    bool // the client's own context had ended: it is told so in its own words
}

func (tr *transcript) intercept(next connect.ClientFunc) connect.ClientFunc {
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		h := &heard{spec: spec}
		h.info, _ = connect.CallInfoForClientContext(ctx)
		tr.calls = append(tr.calls, h)
		tr.bidi = tr.bidi || spec.StreamType == connect.StreamTypeBidi
		stream, err := next(ctx, spec)
		if err != nil {
			h.err = err
			return nil, err
		}
		return &hearing{stream, h, ctx}, nil
	}
}

type hearing struct {
	connect.ClientStream
	*heard
	ctx context.Context
}

func (s *hearing) Send(msg any) error { return s.note(s.ClientStream.Send(msg)) }
func (s *hearing) CloseSend() error   { return s.note(s.ClientStream.CloseSend()) }
func (s *hearing) SendHeaders() error { return s.note(s.ClientStream.SendHeaders()) }
func (s *hearing) Receive(msg any) error {
	err := s.note(s.ClientStream.Receive(msg))
	if err == nil {
		s.mu.Lock()
		s.answers = append(s.answers, textOf(msg))
		s.mu.Unlock()
	}
	return err
}

// note keeps the first error, by whichever operation it came: that depends on
// the door.
func (s *hearing) note(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err, s.gone = err, s.ctx.Err() != nil || late(s.ctx)
		}
	}
	return err
}

// late reports whether the deadline of ctx has come, also where its timer has not
// run yet: the server keeps the same deadline, to the millisecond of the header
// that tells it, and either may be the first to say so.
func late(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < time.Millisecond
}

// String returns the calls as text.
func (tr *transcript) String() string {
	var b strings.Builder
	for i, h := range tr.calls {
		fmt.Fprintf(&b, "call %d: %s\n", i+1, h.spec.Procedure)
		if h.info != nil {
			writeHeader(&b, "header", h.info.ResponseHeader())
		}
		for _, a := range h.answers {
			fmt.Fprintf(&b, "  answer  %s\n", a)
		}
		switch {
		case h.gone:
			fmt.Fprintf(&b, "  error   %v\n", asError(h.err).Code())
		case h.err != nil:
			writeError(&b, h.err)
		}
		if h.info != nil {
			writeHeader(&b, "trailer", h.info.ResponseTrailer())
		}
	}
	return b.String()
}

func writeHeader(b *strings.Builder, what string, h *connect.Header) {
	var lines []string
	for name, values := range h.All() {
		if !isProtocolHeader(name) {
			lines = append(lines, fmt.Sprintf("  %-7s %s: %s\n", what, name, strings.Join(values, ", ")))
		}
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}

// isProtocolHeader reports a header that is not the service's: it belongs to
// HTTP or to one of the protocols.
func isProtocolHeader(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"connect-", "grpc-", "trailer-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "accept-encoding", "accept-post", "connection", "content-encoding", "content-length", "content-type",
		"date", "trailer", "transfer-encoding", "vary":
		return true
	}
	return false
}

func writeError(b *strings.Builder, err error) {
	e := asError(err)
	fmt.Fprintf(b, "  error   %v: %s\n", e.Code(), publicMessage(e))
	for _, d := range e.Details() {
		fmt.Fprintf(b, "  detail  %s\n", detailText(d))
	}
}
