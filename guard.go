package connectum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
)

// guard is the server's own interceptor, outermost around every procedure:
// recovery, masking, deadline, the limit and the count of calls in flight.
func (p *procedure) guard(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
	c, made, err := p.begin(ctx, spec, stream)
	if made {
		defer c.server.leave(c)
	}
	if err != nil {
		return err
	}
	defer c.settle()
	returned := false
	defer func() {
		if !returned {
			err = c.recovered(recover())
		}
		if err != nil {
			err = c.verdict(err)
		}
	}()
	err = p.call((*callContext)(c), spec, c)
	returned = true
	if err == nil && spec.StreamType&connect.StreamTypeServer != 0 { // others end with their Send
		if late := c.expired(); late != nil {
			return late
		}
	}
	return err
}

// begin takes a call in: the one that the door has made, or one made here, which
// the guard must take out again.
//
// It is apart from the guard, as what it needs on the stack would otherwise stay
// there below the handler. See [httpDoor.take].
func (p *procedure) begin(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (c *call, made bool, err error) {
	s := p.d.server
	if c = callOf(ctx); c == nil {
		c = servedBy(ctx)
	}
	if c == nil || c.proc != nil || c.server != s {
		c = &call{server: s, base: ctx} // a transport of the user's own
	}
	c.proc, c.spec, c.stream = p, spec, stream
	c.ending.Lock()
	c.parent = ctx
	c.ending.Unlock()
	if c.shard == nil {
		c.name, c.system, c.kind = spec.Procedure, p.d.system, spec.StreamType
		s.enter(c)
		made = true
		if s.hasStopped() { // after it counts, or the stop might not wait for it
			return c, made, errStopped
		}
	}
	if cut := c.cut.Load(); cut != nil {
		return c, made, cut
	}
	if !c.system && s.limits.MaxInFlight > 0 && s.flight.count() > int64(s.limits.MaxInFlight) {
		return c, made, s.tooMany()
	}
	theirs, has := ctx.Deadline()
	c.deadline = theirs
	if p.limits.timeout > 0 {
		if ours := time.Now().Add(p.limits.timeout); !has || ours.Before(theirs) {
			c.deadline, c.ours = ours, true
		}
	}
	return c, made, nil
}

func (s *Server) tooMany() error {
	s.counters.refused.Add(1)
	return connect.Errorf(connect.CodeResourceExhausted,
		"the server has its limit of %d calls in flight; try again later", s.limits.MaxInFlight)
}

// settle ends what the call holds when its handler is done.
func (c *call) settle() {
	c.release()
	c.over.Store(true) // before own is looked at: one that is made now ends itself
	if own := c.own.Load(); own != nil {
		own.end()
	}
}

// recovered turns what a handler threw into the error its client gets.
// A nil value is runtime.Goexit, which can't be stopped: the client sees a
// broken stream.
func (c *call) recovered(thrown any) error {
	if thrown == http.ErrAbortHandler { //nolint:errorlint // what is thrown is no error yet; a handler's way to cut the connection
		if c.door != DoorHTTP {
			return connect.NewError(connect.CodeUnavailable, "the call was aborted")
		}
		panic(thrown) // net/http expects it
	}
	s := c.server
	s.counters.panics.Add(1)
	err, id := c.internal(fmt.Errorf("panic: %v", thrown))
	what := "handler panicked"
	if thrown == nil {
		what = "handler called runtime.Goexit"
	}
	attrs := []slog.Attr{slog.String("procedure", c.spec.Procedure), slog.String("error_id", id),
		slog.String("panic", clip(fmt.Sprint(thrown)))}
	if s.loud.allow() {
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	s.log().LogAttrs(c.logContext(), slog.LevelError, what, attrs...)
	return err
}

// internal makes the only error that a client gets of what was not made for
// it: a code and an id that also stands in the log.
func (c *call) internal(cause error) (*connect.Error, string) {
	id := strconv.FormatUint(rand.Uint64(), 36)
	return connect.Errorf(connect.CodeInternal, "internal error, id %s", id).WithCause(&Failure{ID: id, Err: cause}), id
}

// verdict turns what the chain returned into what the client may see.
//
// Only a *connect.Error that was made here on purpose passes. When the call
// was ended from outside, or its time is up, whatever else the handler made
// of that is told as such.
func (c *call) verdict(err error) error {
	authored, _ := errors.AsType[*connect.Error](err)
	if authored != nil && !authored.IsRemote() && !isContextCode(authored.Code()) {
		if f, ok := authored.Unwrap().(*Failure); ok { //nolint:errorlint // its own cause alone: kept from the client by an interceptor
			c.count(f)
		}
		if code := authored.Code(); code > connect.CodeUnauthenticated {
			err, _ = c.mask(fmt.Errorf("invalid code %d: %w", code, err))
		}
		return err
	}
	switch {
	case c.cut.Load() != nil:
		return c.cut.Load()
	case c.overdue():
		c.server.counters.overdue.Add(1)
		c.server.log().LogAttrs(c.logContext(), slog.LevelWarn, "call exceeded the server's limit",
			slog.String("procedure", c.spec.Procedure), slog.Duration("limit", c.proc.limits.timeout),
			slog.Duration("overrun", time.Since(c.deadline)))
		return c.late().WithCause(err)
	case authored != nil && !authored.IsRemote():
		return err
	case c.parent.Err() != nil || isContextError(err) && authored == nil:
		if errors.Is(c.parent.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
			return connect.NewError(connect.CodeDeadlineExceeded, "the deadline of the call has passed").WithCause(err)
		}
		return connect.NewError(connect.CodeCanceled, "the call was cancelled").WithCause(err)
	}
	masked, _ := c.mask(err)
	return masked
}

// mask hides err from the client and shows it to the operator.
func (c *call) mask(err error) (*connect.Error, string) {
	out, id := c.internal(err)
	c.server.counters.masked.Add(1)
	c.server.log().LogAttrs(c.logContext(), slog.LevelError, "call failed",
		slog.String("procedure", c.spec.Procedure), slog.String("error_id", id), slog.String("error", clip(fmt.Sprint(err)))) // Sprint survives an Error that panics
	return out, id
}

// count counts what an interceptor of the chain kept from the client.
func (c *call) count(f *Failure) {
	if f.Panic {
		c.server.counters.panics.Add(1)
	} else {
		c.server.counters.masked.Add(1)
	}
}

// late is the verdict of a call whose own time is up.
func (c *call) late() *connect.Error {
	return connect.Errorf(connect.CodeDeadlineExceeded, "the call took longer than the server's limit of %v", c.proc.limits.timeout).
		WithCause(context.DeadlineExceeded)
}

// expired is the verdict of a call that goes on after its deadline: ours, or its
// client's, who waits no longer and must not be told of a success.
func (c *call) expired() *connect.Error {
	switch {
	case c.deadline.IsZero() || time.Until(c.deadline) > 0:
		return nil
	case c.ours:
		return c.late()
	}
	return connect.NewError(connect.CodeDeadlineExceeded, "the deadline of the call has passed").WithCause(context.DeadlineExceeded)
}

// receiveError tells what was wrong with a message in words of our own: the
// texts of libraries stay here.
func (c *call) receiveError(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	if cut := c.cut.Load(); cut != nil {
		return cut
	}
	if d, ok := errors.AsType[*decodeError](err); ok {
		if d.cause != nil {
			c.unreadable(d.cause)
		}
		return d.public.WithCause(d.cause)
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || c.door == DoorInProcess || strings.HasPrefix(e.Message(), "protocol error: ") {
		return err
	}
	switch code := e.Code(); code {
	case connect.CodeUnknown: // the connection, or what encodes a message in a URL
		if c.parent.Err() != nil {
			return c.parent.Err()
		}
		e = connect.NewError(connect.CodeInvalidArgument, "the request message can't be read")
	case connect.CodeInvalidArgument, connect.CodeInternal: // decompression, and the end of a stream
		e = connect.NewError(code, "the request message can't be read")
	default:
		return err
	}
	c.unreadable(err)
	return e.WithCause(err)
}

// unreadable tells those who look closely why a message could not be read.
func (c *call) unreadable(cause error) {
	c.server.log().LogAttrs(c.logContext(), slog.LevelDebug, "request message not decoded",
		slog.String("procedure", c.name), slog.String("error", clip(cause.Error())))
}

// sendError keeps apart what the client may know (its message was too large)
// from what it may not (why a message of ours could not be encoded).
func (c *call) sendError(err error) error {
	if cut := c.cut.Load(); cut != nil {
		return cut
	}
	if e, ok := errors.AsType[*connect.Error](err); ok && (e.Code() == connect.CodeInternal || e.Code() == connect.CodeUnknown) {
		if c.parent.Err() != nil {
			return c.parent.Err()
		}
		return fmt.Errorf("send message: %w", e.WithRemote()) // masked as a peer's is
	}
	return err
}

func isContextCode(code connect.Code) bool {
	return code == connect.CodeCanceled || code == connect.CodeDeadlineExceeded
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// clip bounds what a peer or a handler may put into one attribute of the log.
func clip(text string) string {
	const most = 1 << 10
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
