package interceptor

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// LogConfig configures [Log]. The zero value writes a line for each call.
type LogConfig struct {
	// Messages also writes each message that passes, at debug level, as JSON
	// without what is marked with debug_redact. The default is no messages.
	Messages bool

	// Mask names what is left out of messages besides, at any depth: fields
	// by their name ("password"), JSON name or full name
	// ("acme.v1.User.password"), and entries of maps by their key. Case does
	// not matter. The default is nothing more.
	Mask []string

	// Level says at which level the line of a call with that code is written;
	// 0 is success. The default is error for unknown, unimplemented, internal
	// and data_loss; info for success, canceled, invalid_argument, not_found,
	// already_exists and unauthenticated; warn for the rest.
	Level func(code connect.Code) slog.Level

	// Logger receives the lines. A call waits until its line is written;
	// docs/logs.md tells how to collect lines at high rates. The default is
	// [slog.Default], looked up for each call.
	Logger *slog.Logger
}

// String tells the settings on one line.
func (c LogConfig) String() string {
	if c.Messages {
		return "calls, and messages at debug level"
	}
	return "calls"
}

// Log returns the link of a chain that writes one line for each call, when it
// has ended:
//
//	level=INFO msg=call procedure=/greeter.v1.GreeterService/SayHello door=http protocol=grpc
//	  code=ok duration=1.2ms peer=10.0.0.7:51234 received_bytes=12 sent_bytes=19
//
// Streams have received and sent, the number of their messages. What has no
// value (there is no peer in-process, and there are no sizes) is left out.
// Sizes are those on the wire (see [connectum.TrafficOf]), without the error
// that ends a call. Calls that did not succeed have error, what their client is
// told, and failures error_id. Nothing is computed for a level that is off.
func Log(cfg LogConfig) connectum.Interceptor {
	cfg.Mask = slices.Clone(cfg.Mask)
	l := &logLink{cfg: cfg, mask: newMask(cfg.Mask), epoch: time.Now()}
	for code := range l.levels {
		l.levels[code] = levelOf(connect.Code(code)) //nolint:gosec // below 17
		if cfg.Level != nil {
			l.levels[code] = cfg.Level(connect.Code(code)) //nolint:gosec // below 17
		}
	}
	l.highest = slices.Max(l.levels[:])
	var here [1]uintptr
	runtime.Callers(1, here[:])
	l.source = here[0]
	return connectum.Interceptor{Name: "log", Bind: func(connect.Spec) (connect.ServerInterceptor, error) {
		return (&procedureLog{logLink: l}).serve, nil
	}}
}

// logLink is safe for concurrent use.
type logLink struct {
	cfg     LogConfig
	mask    *mask
	levels  [connect.CodeUnauthenticated + 1]slog.Level // by code
	highest slog.Level
	source  uintptr   // of the lines of calls
	epoch   time.Time // durations are told from, for half of what a clock costs
}

// procedureLog is the link of one procedure.
type procedureLog struct {
	*logLink
	ways atomic.Pointer[[]wayLog]
}

// way is what the lines of a procedure share: they differ in few ways.
type way struct {
	log      *slog.Logger
	door     connectum.Door
	protocol string
}

// wayLog is a logger that has formatted already what all calls by a way share.
type wayLog struct {
	way
	lines *slog.Logger
}

// mostWays bounds how many are kept, should the logger change all the time.
const mostWays = 32

// by returns a logger that has formatted already what all calls by way share. A
// record has then room for the rest of a unary call, without an allocation.
func (l *procedureLog) by(w way, spec connect.Spec) *slog.Logger {
	ways := l.ways.Load()
	if ways != nil {
		for i := range *ways {
			if one := &(*ways)[i]; one.way == w {
				return one.lines
			}
		}
	}
	log := w.log.With("procedure", spec.Procedure)
	if w.door != "" {
		log = log.With("door", string(w.door))
	}
	if w.protocol != "" {
		log = log.With("protocol", w.protocol)
	}
	more := []wayLog{{w, log}}
	if ways != nil && len(*ways) < mostWays {
		more = append(more, *ways...)
	}
	l.ways.CompareAndSwap(ways, &more)
	return log
}

func levelOf(code connect.Code) slog.Level {
	switch code {
	case 0, connect.CodeCanceled, connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodeUnauthenticated:
		return slog.LevelInfo
	case connect.CodeUnknown, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeDataLoss:
		return slog.LevelError
	}
	return slog.LevelWarn
}

func (l *procedureLog) serve(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		log := orDefault(l.cfg.Logger)
		messages := l.cfg.Messages && log.Enabled(ctx, slog.LevelDebug)
		if !messages && !log.Enabled(ctx, l.highest) {
			return next(ctx, spec, stream)
		}
		var counted *loggedStream
		if messages || spec.StreamType != connect.StreamTypeUnary && !connectum.CountMessages(ctx) {
			counted = &loggedStream{ServerStream: stream, link: l.logLink, log: log, procedure: spec.Procedure, messages: messages, call: ctx}
			stream = counted
		}
		began := time.Since(l.epoch)
		returned := false
		defer func() {
			if !returned && log.Enabled(ctx, l.levels[connect.CodeInternal]) { // a panic, which goes on
				l.line(ctx, log, spec, began, counted, connect.CodeInternal, "", "panic")
			}
		}()
		err := next(ctx, spec, stream)
		returned = true
		code, id := outcome(ctx, err)
		if log.Enabled(ctx, l.levels[code]) {
			l.line(ctx, log, spec, began, counted, code, id, told(ctx, err))
		}
		return err
	}
}

// line writes the line of a call.
func (l *procedureLog) line(ctx context.Context, log *slog.Logger, spec connect.Spec, began time.Duration, s *loggedStream, code connect.Code, id, text string) {
	var record slog.Record
	log = l.fill(&record, ctx, log, spec, began, s, code, id, text)
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	_ = log.Handler().Handle(ctx, record)
}

// fill makes what line writes, and returns the logger to write it by. It is apart as
// what it needs on the stack would otherwise stay there below the handler's: a small
// call would need more than 8 KiB.
//
//go:noinline
func (l *procedureLog) fill(record *slog.Record, ctx context.Context, log *slog.Logger, spec connect.Spec, began time.Duration, s *loggedStream, code connect.Code, id, text string) *slog.Logger {
	var attrs [9]slog.Attr
	n := 0
	add := func(a slog.Attr) {
		attrs[n] = a
		n++
	}
	name := "ok"
	if code != 0 {
		name = code.String()
	}
	add(slog.String("code", name))
	now := time.Now()
	add(slog.Duration("duration", now.Sub(l.epoch)-began))
	way := way{log: log, door: connectum.DoorOf(ctx)}
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		way.protocol = info.Protocol
		if info.PeerAddr != "" {
			add(slog.String("peer", info.PeerAddr))
		}
	}
	log = l.by(way, spec)
	traffic, ok := connectum.TrafficOf(ctx)
	if ok && way.door != connectum.DoorInProcess {
		add(slog.Int64("received_bytes", traffic.ReceivedBytes))
		add(slog.Int64("sent_bytes", traffic.SentBytes))
	}
	if spec.StreamType != connect.StreamTypeUnary {
		if s != nil {
			traffic.Received, traffic.Sent = s.received.Load(), s.sent.Load()
		}
		add(slog.Int64("received", traffic.Received))
		add(slog.Int64("sent", traffic.Sent))
	}
	if id != "" {
		add(slog.String("error_id", id))
	}
	if text != "" {
		add(slog.String("error", clip(text, maxText)))
	}
	// What Logger.LogAttrs does, but for the clock and the stack, which are known.
	*record = slog.NewRecord(now, l.levels[code], "call", l.source)
	record.AddAttrs(attrs[:n]...)
	return log
}

// told is the text that the client of a call gets for err, as far as it is
// settled here.
func told(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	if made, ok := errors.AsType[*connect.Error](err); ok && !made.IsRemote() && isCode(made.Code()) {
		return made.Message()
	}
	if why := ended(ctx, err); why != nil {
		return why.Message()
	}
	return "" // masked by the guard
}

// loggedStream counts messages, and writes them when asked. Both directions may
// be used at the same time.
type loggedStream struct {
	connect.ServerStream
	link           *logLink
	log            *slog.Logger
	call           context.Context //nolint:containedctx // the stream is the call's
	procedure      string
	messages       bool
	received, sent atomic.Int64
}

func (s *loggedStream) Receive(msg any) error {
	err := s.ServerStream.Receive(msg)
	if err == nil {
		s.message("received message", s.received.Add(1), msg)
	}
	return err
}

func (s *loggedStream) Send(msg any) error {
	err := s.ServerStream.Send(msg)
	if err == nil {
		s.message("sent message", s.sent.Add(1), msg)
	}
	return err
}

func (s *loggedStream) message(what string, n int64, msg any) {
	if !s.messages {
		return
	}
	text, hidden := s.link.mask.render(msg)
	attrs := []slog.Attr{slog.String("procedure", s.procedure), slog.Int64("number", n), slog.Any("message", text)}
	if len(hidden) > 0 {
		attrs = append(attrs, slog.Any("masked", hidden))
	}
	s.log.LogAttrs(s.call, slog.LevelDebug, what, attrs...)
}
