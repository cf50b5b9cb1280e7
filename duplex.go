package connectum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// duplex is one streaming call through the in-process door. Its handler runs on
// a goroutine of its own, from the client's first operation on.
//
// Connect has such a transport. Its streams hand over one message at a time, so that two sides which both send first wait for each
// other, and share the sender's message with the receiver after Send returned.
type duplex struct {
	d        *dispatcher
	spec     connect.Spec
	call     *call
	ctx      context.Context // the client's
	cancel   context.CancelFunc
	client   *connect.CallInfo // nil when the client asked for none
	server   *connect.CallInfo
	requests *pipe
	answers  *pipe

	begin sync.Once
	done  chan struct{} // the handler has returned
	err   error         // what it returned; read after done

	mu      sync.Mutex
	header  map[string][]string // of the answer, once it has begun
	trailer map[string][]string
	told    bool // the header has been given to the client
}

// newDuplex makes a streaming call. c.base is derived from the client's context
// and ends with the call.
func newDuplex(ctx context.Context, d *dispatcher, spec connect.Spec, c *call) *duplex {
	x := &duplex{d: d, spec: spec, call: c, ctx: ctx, server: &connect.CallInfo{Spec: spec},
		requests: newPipe(), answers: newPipe(), done: make(chan struct{})}
	c.base, x.cancel = context.WithCancel(ctx)
	c.duplex = x
	if x.client, _ = connect.CallInfoForClientContext(ctx); x.client != nil {
		x.client.Spec = spec
	}
	return x
}

// start runs the handler, once.
func (x *duplex) start() {
	x.begin.Do(func() {
		if x.client != nil {
			setAll(x.server.RequestHeader(), maps.Collect(x.client.RequestHeader().All()))
		}
		go x.serve()
	})
}

func (x *duplex) serve() {
	x.err = connect.NewError(connect.CodeUnavailable, "the handler ended its goroutine")
	defer func() {
		x.open()
		x.mu.Lock()
		x.trailer = collect(x.server.ResponseTrailer())
		x.mu.Unlock()
		x.requests.close()
		close(x.done)
		x.answers.end()
	}()
	x.err = x.d.connect.Call((*doorContext)(x.call), x.spec.Procedure, x.server, (*duplexServer)(x))
}

// open notes the header of the answer as it now stands, once.
func (x *duplex) open() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.header == nil {
		x.header = collect(x.server.ResponseHeader())
	}
}

// traffic is what the handler has received and sent.
func (x *duplex) traffic() Traffic {
	x.requests.mu.Lock()
	in := x.requests.out
	x.requests.mu.Unlock()
	x.answers.mu.Lock()
	out := x.answers.in
	x.answers.mu.Unlock()
	return Traffic{ReceivedBytes: in.bytes, SentBytes: out.bytes, Received: in.messages, Sent: out.messages}
}

// duplexServer is the handler's side.
type duplexServer duplex

func (s *duplexServer) SendHeaders() error {
	(*duplex)(s).open()
	return nil
}

func (s *duplexServer) Receive(dst any) error { return s.requests.receive(s.call.base, dst) }

func (s *duplexServer) Send(msg any) error {
	(*duplex)(s).open()
	return s.answers.send(s.call.base, msg)
}

// duplexClient is the client's side. It tells what a network door would: why the
// call was ended from outside, and of an error only what was made for clients.
type duplexClient duplex

func (c *duplexClient) SendHeaders() error {
	(*duplex)(c).start()
	return nil
}

func (c *duplexClient) Send(msg any) error {
	(*duplex)(c).start()
	err := c.ended(c.requests.send(c.call.base, msg))
	if errors.Is(err, io.EOF) && c.spec.StreamType == connect.StreamTypeServer {
		return nil // ended before it read its request; Receive tells why
	}
	return err
}

func (c *duplexClient) CloseSend() error {
	c.requests.end()
	return nil
}

func (c *duplexClient) Receive(dst any) error {
	(*duplex)(c).start()
	err := c.answers.receive(c.call.base, dst)
	if err == nil || errors.Is(err, io.EOF) {
		(*duplex)(c).tell()
	}
	if err == nil {
		return nil
	}
	defer c.cancel()
	if !errors.Is(err, io.EOF) {
		return c.ended(err)
	}
	<-c.done
	if c.client != nil {
		setAll(c.client.ResponseTrailer(), c.trailer)
	}
	if c.err != nil {
		return c.ended(asRemote(c.err))
	}
	return io.EOF
}

func (c *duplexClient) Close() error {
	c.requests.end()
	c.cancel()
	return nil
}

// tell gives the client the header of the answer, once.
func (x *duplex) tell() {
	if x.client == nil || x.told {
		return
	}
	x.told = true
	x.mu.Lock()
	defer x.mu.Unlock()
	setAll(x.client.ResponseHeader(), x.header)
}

// ended turns the end of the door's context into its reason: that of the server,
// when the client's own goes on, or else the client's.
func (c *duplexClient) ended(err error) error {
	if cut := c.call.cut.Load(); cut != nil && c.ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return cut.WithRemote()
	}
	over := c.ctx.Err()
	if over != nil && (errors.Is(err, io.EOF) || isContextCode(connect.CodeOf(err))) {
		return contextError(over) // whatever the handler made of it
	}
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // what the pipe returns, and no verdict of the handler
		return contextError(err)
	}
	return err
}

// contextError is what a client is told, by its own side, of the end of its context.
func contextError(err error) *connect.Error {
	code := connect.CodeCanceled
	if errors.Is(err, context.DeadlineExceeded) {
		code = connect.CodeDeadlineExceeded
	}
	return connect.NewError(code, err.Error()).WithCause(err)
}

// asRemote is what a client is told of what a handler returned.
func asRemote(err error) error {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok { // the guard lets none of these pass
		return connect.NewError(connect.CodeInternal, "internal error").WithRemote()
	}
	public := connect.NewError(e.Code(), e.Message()).WithRemote() // without its cause
	for _, d := range e.Details() {
		public = public.WithDetail(d)
	}
	return public
}

func collect(h *connect.Header) map[string][]string {
	out := map[string][]string{}
	for key, values := range h.All() {
		out[key] = slices.Clone(values)
	}
	return out
}

func setAll(h *connect.Header, values map[string][]string) {
	for key, v := range values {
		h.SetValues(key, v)
	}
}

func asProto(msg any) (proto.Message, error) {
	m, ok := msg.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("connectum: in-process: %T is not a proto.Message", msg)
	}
	return m, nil
}
