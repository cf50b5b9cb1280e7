package connectum

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/internal/wire"
)

// call is one request in flight, from the door that took it to its last byte:
// an RPC, or plain HTTP. It is allocated once and shows several faces, each a
// type over the same memory, so that guarding a call costs one allocation:
//
//	*call            connect.ServerStream for the interceptors and the handler
//	*callContext     context.Context for them: deadline, forced end
//	*doorContext     context.Context from the door to the guard: the link
//	*responseWriter  http.ResponseWriter: write stalls, Connection: close
//	*requestBody     io.ReadCloser: read stalls
//	*received        the message for the codec: limits, budget
type call struct {
	server     *Server
	door       Door
	name       string // procedure, or method and path
	shard      *shard // of the register; nil before
	prev, next *call
	base       context.Context      // the door's
	duplex     *duplex              // what holds this call, when it is an in-process stream
	tls        *tls.ConnectionState // of the connection, or nil

	// HTTP
	w          http.ResponseWriter
	conn       *wire.Conn // nil when embedded in another server
	body       io.ReadCloser
	readStall  time.Duration
	writeStall time.Duration
	limit      time.Duration // of the whole, while the request is being read
	started    int64         // watch tick
	reading    atomic.Int64  // watch tick at which the read in progress began, or 0
	writing    atomic.Int64
	bytesIn    atomic.Int64 // of the body, as they came
	bytesOut   atomic.Int64
	mu         sync.Mutex  // held while http's connection is touched from outside its handler
	drained    atomic.Bool // the request has been read to its end
	poked      atomic.Bool // its reading was ended from outside

	engine *EngineCall       // what holds this call, when it came by an engine
	info   *connect.CallInfo // what Connect tells of it, where its door need not ask Connect to

	// RPC
	proc      *procedure
	procedure string // as Connect told it
	stream    connect.ServerStream
	parent    context.Context               // the guard's
	deadline  time.Time                     // the server's or the client's, whichever is earlier
	cut       atomic.Pointer[connect.Error] // why it was ended from outside
	own       atomic.Pointer[ownContext]
	message   any                           // that is being received
	held      int64                         // of the decode budget
	logs      context.Context               // of the lines about the call, see LogWith; nil: parent
	checked   checkedStream                 // of the first MessageChecks in the chain
	messages  atomic.Pointer[messageCounts] // when asked for; the server's where the call counts none
	ending    sync.Mutex                    // held while parent is set and own is made
	over      atomic.Bool                   // the handler has returned

	// Small ones together, as each alone takes a word.
	kind      connect.StreamType
	streams   connect.StreamType // as Connect told it
	system    bool               // infrastructure: not counted, not limited
	h1        bool
	wrote     bool // the response has begun
	expects   bool // its client waits for "100 Continue", which reading it sends
	coalesced bool // bytesOut is counted above the coalescing
	unflushed bool // net/http may hold back bytes of the response; not known where coalesced
	finished  bool // guarded by mu
	ours      bool // deadline is the server's
	counts    bool // it counts its messages itself, see CountMessages
}

// Door names the way by which a call came in.
type Door string

// The doors of this package. Other packages may add theirs.
const (
	DoorHTTP      Door = "http"   // net/http: Connect, gRPC-Web and gRPC
	DoorInProcess Door = "inproc" // [Server.Transport]
)

// DoorOf tells by which door the call came whose context ctx is, or "" when
// ctx belongs to no call of a [Server].
func DoorOf(ctx context.Context) Door {
	if c := callOf(ctx); c != nil {
		return c.door
	}
	return ""
}

type callKey struct{}

// callOf returns the innermost call that ctx belongs to, or nil.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.(*callContext); ok {
		return (*call)(c)
	}
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// servedBy returns the call that the HTTP/1.1 connection of ctx is serving, where
// the door has left it there, or nil. It is for the guard alone: contexts of
// other calls of the connection would find that one too.
func servedBy(ctx context.Context) *call {
	conn := wire.FromContext(ctx)
	if conn == nil {
		return nil
	}
	c, _ := conn.Serving.(*call)
	return c
}

// doorContext links the guard to what the door knows. It passes everything
// else through, so that deriving from it costs what deriving from the door's
// own context does.
type doorContext call

func (c *doorContext) Deadline() (time.Time, bool) { return c.base.Deadline() }
func (c *doorContext) Done() <-chan struct{}       { return c.base.Done() }
func (c *doorContext) Err() error                  { return c.base.Err() }
func (c *doorContext) Value(key any) any {
	switch key.(type) {
	case callKey:
		return (*call)(c)
	case serverKey:
		return c.server
	}
	if c.info != nil {
		switch key {
		case c.server.infoKeys.server:
			return c.info
		case c.server.infoKeys.client: // what the caller wants to know is not for the handler
			return (*connect.CallInfo)(nil)
		}
	}
	return c.base.Value(key)
}

// callContext is the context of the handler. A context of the standard library
// is made for it only when somebody waits for its end, or it ends.
type callContext call

// ownContext is a cancellable child of call.parent.
type ownContext struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // releases the timer
}

func (c *callContext) Deadline() (time.Time, bool) {
	return c.deadline, !c.deadline.IsZero()
}

func (c *callContext) Done() <-chan struct{} { return (*call)(c).context().ctx.Done() }

func (c *callContext) Err() error {
	if own := c.own.Load(); own != nil {
		return own.ctx.Err()
	}
	if (*call)(c).overdue() {
		return context.DeadlineExceeded
	}
	if err := c.parent.Err(); err != nil || !c.over.Load() {
		return err
	}
	return context.Canceled
}

func (c *callContext) Value(key any) any {
	switch key.(type) {
	case callKey:
		return (*call)(c)
	case serverKey:
		return c.server
	}
	if own := c.own.Load(); own != nil {
		return own.ctx.Value(key)
	}
	return c.parent.Value(key)
}

// context makes the call's own context, once.
func (c *call) context() *ownContext {
	if own := c.own.Load(); own != nil {
		return own
	}
	c.ending.Lock()
	defer c.ending.Unlock()
	if own := c.own.Load(); own != nil {
		return own
	}
	own := &ownContext{stop: func() {}}
	parent := c.parent
	if c.ours {
		parent, own.stop = context.WithDeadline(parent, c.deadline)
	}
	own.ctx, own.cancel = context.WithCancelCause(parent)
	c.own.Store(own)
	if c.over.Load() { // asked for by what the handler left behind
		own.end()
	}
	return own
}

// end ends the context, as that of any handler that has returned.
func (o *ownContext) end() {
	o.cancel(nil)
	o.stop()
}

// end cancels the handler's context; why is what the client is told.
func (c *call) end(why *connect.Error) {
	c.cut.CompareAndSwap(nil, why)
	c.ending.Lock()
	begun := c.parent != nil
	c.ending.Unlock()
	if begun {
		c.context().cancel(why)
	}
	if c.duplex != nil {
		c.duplex.cancel()
	}
}

// overdue reports whether our own deadline has passed.
func (c *call) overdue() bool {
	return c.ours && time.Until(c.deadline) <= 0
}

// received is what a guarded Receive hands to the transport in place of the
// message, so that the codec finds the call whose message it decodes.
type received call

// Receive implements [connect.ServerStream].
func (c *call) Receive(msg any) error {
	c.release()
	var err error
	switch {
	case c.door == DoorHTTP:
		c.message = msg
		err = c.stream.Receive((*received)(c))
		c.message = nil
	case c.engine != nil:
		c.message = msg
		err = c.receive()
		c.message = nil
	default:
		err = c.stream.Receive(msg)
	}
	if err != nil {
		return c.receiveError(err)
	}
	if c.counts {
		c.countReceived(msg)
	}
	return nil
}

// receive receives into c.message what comes by an engine.
func (c *call) receive() error {
	c.reading.Store(c.server.watch.tick())
	err := c.stream.Receive((*received)(c))
	c.reading.Store(0)
	if err != nil {
		if cut := c.cut.Load(); cut != nil { // not the end of the stream that it may look like
			return cut
		}
	}
	return err
}

// SendHeaders implements [connect.ServerStream].
func (c *call) SendHeaders() error { return c.stream.SendHeaders() }

// Send implements [connect.ServerStream].
func (c *call) Send(msg any) error {
	if cut := c.cut.Load(); cut != nil {
		return cut // a handler that looks at no context learns of it here
	}
	if late := c.expired(); late != nil {
		return late
	}
	if c.engine != nil {
		c.writing.Store(c.server.watch.tick())
		defer c.writing.Store(0)
	}
	if c.counts {
		return c.sendCounted(msg)
	}
	if err := c.stream.Send(msg); err != nil {
		return c.sendError(err)
	}
	return nil
}

// release gives back what the last message holds of the decode budget.
func (c *call) release() {
	if c.held > 0 {
		c.server.budget.release(c.held)
		c.held = 0
	}
}
