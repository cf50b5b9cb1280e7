package connectum

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
)

// responseWriter is what handlers write an HTTP response through.
type responseWriter call

func (w *responseWriter) Header() http.Header { return w.w.Header() }

// Unwrap serves [http.ResponseController].
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.w }

func (w *responseWriter) WriteHeader(status int) {
	if status >= 200 {
		w.begin()
	}
	h := w.w.Header()
	explain := status == http.StatusUnsupportedMediaType && h["Accept-Post"] != nil && h["Content-Type"] == nil
	if explain { // Connect would leave it at that
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.w.WriteHeader(status)
	if explain {
		text := wrongType
		if w.kind != connect.StreamTypeUnary {
			text = wrongTypeOfStream
		}
		_, _ = io.WriteString(w, text)
	}
}

// What is for people: what curl -d sends is a form, and curl --json works for
// every method but a stream.
const (
	wrongType         = "This Content-Type is not served here. That of JSON is application/json, which curl --json sends.\n"
	wrongTypeOfStream = "This method is a stream, whose messages come in envelopes: grpcurl and connectum call speak it, curl does not. Its JSON is application/connect+json.\n"
)

// begin runs before the header block of the response is written.
func (w *responseWriter) begin() {
	if w.wrote {
		return
	}
	w.wrote = true
	// RFC 9112 section 9.6: the client then does not use the connection
	// again, which is closed soon. On HTTP/2 the wire tells it.
	if w.h1 && (w.server.leaving.Load() || w.poked.Load() || w.unwanted() || w.conn != nil && w.conn.Leaving()) ||
		!w.h1 && w.conn != nil && w.conn.Overstayed() {
		w.w.Header().Set("Connection", "close")
	}
}

// unwanted reports whether the client has been told neither to send its request
// nor that it is not wanted. net/http, which does not see its own body, would
// wait for the request before it answers, unless it closes.
func (w *responseWriter) unwanted() bool {
	return w.expects && w.bytesIn.Load() == 0 && !w.drained.Load()
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.begin()
	w.writing.Store(w.server.watch.tick())
	n, err := w.w.Write(b)
	w.writing.Store(0)
	if !w.coalesced {
		w.bytesOut.Add(int64(n))
		w.unflushed = true
	}
	return n, err
}

func (w *responseWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *responseWriter) Flush() { _ = w.FlushError() }

func (w *responseWriter) FlushError() error {
	w.begin()
	w.writing.Store(w.server.watch.tick())
	defer w.writing.Store(0)
	f, ok := w.w.(interface{ FlushError() error })
	if !ok {
		return http.NewResponseController(w.w).Flush()
	}
	err := f.FlushError()
	if err == nil && !w.coalesced {
		w.unflushed = false
	}
	return err
}

// Hijack implements [http.Hijacker] where the connection allows it.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.w).Hijack()
}

// requestBody is what handlers read an HTTP request through.
type requestBody call

func (b *requestBody) Read(p []byte) (int, error) {
	b.reading.Store(b.server.watch.tick())
	n, err := b.body.Read(p)
	b.reading.Store(0)
	b.bytesIn.Add(int64(n))
	if errors.Is(err, io.EOF) {
		b.drained.Store(true)
	} else if err != nil {
		if cut := b.cut.Load(); cut != nil {
			err = cut
		}
	}
	return n, err
}

// Close reads what is left of a request over HTTP/1.1. Where a client waits to be
// told to send it, that is left to net/http, when the answer is out.
func (b *requestBody) Close() error {
	if (*responseWriter)(b).unwanted() {
		return nil
	}
	return b.body.Close()
}

// poke unblocks the handler of an HTTP call that waits for its connection.
// net/http must not be touched once the handler has returned (it would crash),
// hence the lock. Nor when the request has been read to its end: on HTTP/1.1
// the deadline would reach net/http itself, which then cancels the contexts of
// all further requests of the connection.
func (c *call) poke(read, write bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	if c.engine != nil {
		c.engine.stream.Interrupt(read, write)
		return
	}
	if c.w == nil {
		return
	}
	rc := http.NewResponseController(c.w)
	past := time.Unix(1, 0)
	if read && c.body != nil && !c.drained.Load() {
		c.poked.Store(true)
		if c.conn != nil && c.h1 {
			c.conn.Linger()
		}
		_ = rc.SetReadDeadline(past)
	}
	if write {
		_ = rc.SetWriteDeadline(past)
	}
}

// rest bounds what net/http has still to do when the handler has returned: the
// last bytes of the answer, which it held back, need a peer that takes them. It
// holds back none of gRPC's, as Connect flushes each message, and trailers need
// no window.
func (c *call) rest() {
	switch {
	case c.conn == nil:
	case c.h1:
		c.conn.Ended()
	case c.writeStall <= 0:
	case !c.coalesced && c.unflushed:
		if w, ok := c.w.(interface{ SetWriteDeadline(time.Time) error }); ok {
			_ = w.SetWriteDeadline(time.Now().Add(c.writeStall)) // ends with the stream
		}
	}
}

// finish ends the part of c that net/http knows.
func (c *call) finish() {
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
}

// stalled reports for how long c has waited for its client, and why that is
// too long; nil when it is not.
func (c *call) stalled(now int64) *connect.Error {
	if since := c.reading.Load(); since > 0 && c.readStall > 0 && elapsed(since, now) > c.readStall {
		return connect.Errorf(connect.CodeDeadlineExceeded, "the request stalled for %v", c.readStall)
	}
	if since := c.writing.Load(); since > 0 && c.writeStall > 0 && elapsed(since, now) > c.writeStall {
		return connect.Errorf(connect.CodeDeadlineExceeded, "the response stalled for %v", c.writeStall)
	}
	if c.reading.Load() > 0 && c.limit > 0 && elapsed(c.started, now) > c.limit {
		return connect.Errorf(connect.CodeDeadlineExceeded, "the call took longer than the server's limit of %v", c.limit)
	}
	return nil
}

// isAbort reports a handler's wish to cut the connection.
func isAbort(thrown any) bool {
	err, ok := thrown.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}
