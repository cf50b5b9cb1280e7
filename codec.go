package connectum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectgzip"
	"connectrpc.com/connect/v2/connectproto"
)

// boundedCodec holds a codec to the limits of the procedure whose message it
// decodes, and keeps the texts of its library from clients.
type boundedCodec struct {
	connect.Codec
	json   bool
	weight int64 // how much a byte counts in the decode budget
}

// decodeError is what clients are told of a message that could not be
// decoded. Connect wraps it; [call.receiveError] takes it out again.
type decodeError struct {
	public *connect.Error
	cause  error
}

func (e *decodeError) Error() string { return e.public.Message() }
func (e *decodeError) Unwrap() error { return e.cause }

// UnmarshalRead implements [connect.Codec].
func (b *boundedCodec) UnmarshalRead(ctx context.Context, src io.Reader, msg any) error {
	in, ok := msg.(*received)
	if !ok {
		return b.Codec.UnmarshalRead(ctx, src, msg)
	}
	c, size := (*call)(in), 0
	if sized, ok := src.(interface{ Len() int }); ok {
		size = sized.Len()
	}
	if most := c.proc.limits.json; b.json && most > 0 && size > most {
		return tooLarge(size, most)
	}
	if size >= budgetFloor {
		weight, err := c.server.budget.acquire(ctx, int64(size)*b.weight)
		if err != nil {
			c.server.counters.refused.Add(1)
			return &decodeError{public: err}
		}
		c.held += weight
	}
	if err := b.Codec.UnmarshalRead(ctx, src, in.message); err != nil {
		return b.invalid(err)
	}
	return nil
}

// invalid tells where in a JSON message the mistake is, and of which kind, in
// words of its own: those of the library may show what is inside.
func (b *boundedCodec) invalid(cause error) error {
	text := "the request message is not valid " + b.Name()
	if line, column, syntax := jsonPosition(cause); b.json && line > 0 {
		if !syntax {
			text = "the request message does not fit its schema"
		}
		text = fmt.Sprintf("%s at line %d, column %d", text, line, column)
	}
	return &decodeError{cause: cause, public: connect.NewError(connect.CodeInvalidArgument, text)}
}

// jsonPosition takes apart what protojson says, "proto: (line 1:9): ..." or
// "proto: syntax error (line 1:9): ...". Should it come to say it otherwise, the
// line is 0 and clients are told less.
func jsonPosition(cause error) (line, column int, syntax bool) {
	before, after, _ := strings.Cut(cause.Error(), "(line ")
	at, _, _ := strings.Cut(after, "):")
	first, second, _ := strings.Cut(at, ":")
	line, err := strconv.Atoi(first)
	column, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil || !strings.HasPrefix(before, "proto:") {
		return 0, 0, false
	}
	return line, column, strings.HasSuffix(before, "syntax error ")
}

func tooLarge(size, most int) error {
	return &decodeError{public: connect.Errorf(connect.CodeResourceExhausted,
		"JSON message of %d bytes exceeds the limit of %d", size, most)}
}

// codecs returns what the server offers: the given ones, then proto and JSON,
// unless one of the given took their name.
func codecs(given []connect.Codec) []connect.Codec {
	var out []connect.Codec
	names := map[string]bool{}
	for _, c := range append(append([]connect.Codec{}, given...), connectproto.NewBinaryCodec(), connectproto.NewJSONCodec()) {
		if c == nil || names[c.Name()] {
			continue
		}
		names[c.Name()] = true
		b := &boundedCodec{Codec: c, weight: 8}
		if c.Name() == connect.CodecNameJSON {
			b.json, b.weight = true, 16
		}
		out = append(out, b)
	}
	return out
}

// newCompressors returns the given ones, then gzip, held to the decode budget
// if there is one.
func (s *Server) newCompressors() []connect.Compressor {
	all := append(slices.Clone(s.given.Compressors), connectgzip.New())
	if s.limits.DecodeBudget < 0 {
		return all
	}
	turns := newInflation(s)
	for i, c := range all {
		if c != nil {
			all[i] = &boundedCompressor{Compressor: c, turns: turns}
		}
	}
	return all
}

const (
	budgetFloor = 4 * kib                // smaller messages are not counted
	budgetWait  = 100 * time.Millisecond // then the call is refused
	budgetQueue = 8                      // budgets that may wait: as they are not decoded yet, the bytes of one
)

// budget bounds the weight of the messages that are decoded and in use.
type budget struct {
	mu      sync.Mutex
	free    int64
	size    int64 // 0: no limit
	waiting int64 // the weight of the waiters
	waiters []*waiter
}

type waiter struct {
	weight int64
	ready  chan struct{}
}

func newBudget(size int64) *budget { return &budget{free: max(size, 0), size: max(size, 0)} }

var errNoBudget = connect.NewError(connect.CodeResourceExhausted,
	"the server is decoding as many large messages as it can; try again later")

// acquire takes weight, waiting its turn for up to [budgetWait], and returns
// what has to be released.
func (b *budget) acquire(ctx context.Context, weight int64) (int64, *connect.Error) {
	if b.size == 0 {
		return 0, nil
	}
	weight = min(weight, b.size)
	b.mu.Lock()
	if len(b.waiters) == 0 && b.free >= weight {
		b.free -= weight
		b.mu.Unlock()
		return weight, nil
	}
	if b.waiting > b.size*budgetQueue-weight { // what waits takes memory, too
		b.mu.Unlock()
		return 0, errNoBudget
	}
	w := &waiter{weight, make(chan struct{})}
	b.waiters = append(b.waiters, w)
	b.waiting += weight
	b.mu.Unlock()

	timer := time.NewTimer(budgetWait)
	defer timer.Stop()
	var err *connect.Error
	select {
	case <-w.ready:
		return weight, nil
	case <-timer.C:
		err = errNoBudget
	case <-ctx.Done():
		err = connect.NewError(connect.CodeCanceled, "the call ended").WithCause(ctx.Err())
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = connect.NewError(connect.CodeDeadlineExceeded, "the deadline of the call has passed").WithCause(ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiters {
		if other == w {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			b.waiting -= weight
			b.grant() // those behind may fit where this one did not
			return 0, err
		}
	}
	return weight, nil // granted at the same moment
}

func (b *budget) release(weight int64) {
	b.mu.Lock()
	b.free += weight
	b.grant()
	b.mu.Unlock()
}

// grant wakes the waiters that fit, in their order. b.mu must be held.
func (b *budget) grant() {
	for len(b.waiters) > 0 && b.free >= b.waiters[0].weight {
		b.free -= b.waiters[0].weight
		b.waiting -= b.waiters[0].weight
		close(b.waiters[0].ready)
		b.waiters = b.waiters[1:]
	}
}
