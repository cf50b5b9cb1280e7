// Package coalesce lets the messages of a stream ride along with one another.
//
// A handler that flushes every message pays a way through net/http's serve loop
// and a system call for each. A [Writer] hands what is flushed to a goroutine of
// the stream; messages sent while that is busy go together with its next flush.
// There is no timer: a lone message goes at once.
//
//	w.Reset(rw)
//	defer w.Abort() // for a handler that panics; nothing after Finish
//	handler.ServeHTTP(w, r)
//	w.Finish()
package coalesce

import (
	"errors"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// MaxBytes is how much may wait while as much is under way. More makes Write
// wait.
const MaxBytes = 64 << 10

var errEnded = errors.New("coalesce: written after the handler has ended")

// Writer is an http.ResponseWriter for a response that is flushed while it is
// written. The first flush, which sends the headers, is done before it returns;
// the error of a later one is returned by the next Write, Flush or Finish.
//
// It has to be the outermost wrapper: those below it see fewer, larger writes,
// from another goroutine, but never two at a time. Its methods may be called by
// one goroutine at a time, the handler's. A Writer may be used again after
// Finish or Abort; the zero value is ready for [Writer.Reset].
type Writer struct {
	// Count, if set after Reset, is added the bytes that Write has taken.
	Count *atomic.Int64

	rw     http.ResponseWriter
	flush  flusher
	header http.Header // the handler's; see passHeader
	send   func()      // w.sendAll, bound once: a go statement then allocates nothing

	mu      sync.Mutex
	changed sync.Cond // busy, buf or err have changed
	buf     *buffer   // waits to be sent, or nil
	passed  bool      // header has been given to rw
	started bool      // the headers are out
	busy    bool      // sendAll runs
	ending  bool      // it must leave what waits to Finish
	ended   bool
	err     error
	panics  any // what sendAll recovered
}

// Reset makes w ready for a response over rw.
func (w *Writer) Reset(rw http.ResponseWriter) {
	if w.send == nil {
		w.send = w.sendAll
		w.changed.L = &w.mu
		w.header = make(http.Header)
	}
	w.rw, w.flush, w.Count = rw, findFlusher(rw), nil
	clear(w.header)
	maps.Copy(w.header, rw.Header())
	w.passed, w.started, w.ending, w.ended = false, false, false, false
	w.err, w.panics = nil, nil
}

// Unwrap lets http.ResponseController reach rw for what Writer does not do.
func (w *Writer) Unwrap() http.ResponseWriter { return w.rw }

// Header implements http.ResponseWriter. Trailers may be set while messages are
// under way; they are passed on by [Writer.Finish].
func (w *Writer) Header() http.Header { return w.header }

// passHeader makes rw's header equal to the handler's. They are two, since
// net/http looks for trailers in its own with every flush, while the handler
// may be setting them. Nothing may be under way.
func (w *Writer) passHeader() {
	h := w.rw.Header()
	maps.DeleteFunc(h, func(key string, _ []string) bool {
		_, ok := w.header[key]
		return !ok
	})
	maps.Copy(h, w.header)
	w.passed = true
}

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest()
	if !w.ended {
		w.passHeader()
		w.rw.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failed(); err != nil {
		return 0, err
	}
	if !w.started {
		if !w.passed {
			w.passHeader()
		}
		n, err := w.rw.Write(p)
		w.count(n)
		return n, err
	}
	defer func() { w.count(n) }()
	for {
		k := min(len(p)-n, MaxBytes-w.buf.len())
		if k > 0 && w.buf == nil {
			w.buf = buffers.Get().(*buffer)
		}
		w.buf.append(p[n : n+k])
		if n += k; n == len(p) {
			return n, nil
		}
		w.start()
		w.changed.Wait()
		if err := w.failed(); err != nil {
			return n, err
		}
	}
}

func (w *Writer) count(n int) {
	if w.Count != nil {
		w.Count.Add(int64(n))
	}
}

// Flush implements http.Flusher.
func (w *Writer) Flush() { _ = w.FlushError() }

// FlushError is Flush as http.ResponseController calls it.
func (w *Writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failed(); err != nil {
		return err
	}
	if !w.started {
		if !w.passed {
			w.passHeader()
		}
		err := w.flush.FlushError()
		if !errors.Is(err, errors.ErrUnsupported) { // else nothing is held back either
			w.err, w.started = err, err == nil
		}
		return err
	}
	w.start()
	return nil
}

// start sees to it that what waits is sent.
func (w *Writer) start() {
	if !w.busy && w.buf.len() > 0 {
		w.busy = true
		go w.send()
	}
}

// sendAll sends until nothing waits.
func (w *Writer) sendAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.buf.len() > 0 && w.err == nil && !w.ending {
		out := w.buf
		w.buf = nil
		w.mu.Unlock()
		panicked, err := w.sendOne(out)
		buffers.Put(out.reset())
		w.mu.Lock()
		w.err, w.panics = err, panicked
		w.changed.Broadcast()
	}
	w.busy = false
	w.changed.Broadcast()
}

// sendOne sends b. A panic below must not end the process from a goroutine that
// no handler's recovery covers.
func (w *Writer) sendOne(b *buffer) (panicked any, err error) {
	defer func() {
		if panicked = recover(); panicked != nil {
			err = http.ErrAbortHandler
		}
	}()
	if _, err = w.rw.Write(b.bytes); err == nil {
		err = w.flush.FlushError()
	}
	return nil, err
}

// failed returns why nothing can be written any more.
func (w *Writer) failed() error {
	if w.panics != nil {
		p := w.panics
		w.panics = nil
		panic(p) // again, where it belongs
	}
	if w.ended {
		return errEnded
	}
	return w.err
}

// rest waits until nothing is under way.
func (w *Writer) rest() {
	for w.busy {
		w.changed.Wait()
	}
}

// Finish waits for what is under way and hands what is left, trailers included,
// to net/http, which sends it with the end of the stream. Without Finish there
// are no trailers.
func (w *Writer) Finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
	w.rest()
	if err := w.failed(); err != nil {
		return err
	}
	if w.buf.len() > 0 {
		_, w.err = w.rw.Write(w.buf.bytes)
	}
	w.passHeader()
	w.end()
	return w.err
}

// Abort drops what waits, cuts short what is under way and waits for it. After
// Finish it does nothing.
func (w *Writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ending = true
	if w.busy { // perhaps on a peer that does not read; the stream is lost anyway
		_ = http.NewResponseController(w.rw).SetWriteDeadline(time.Unix(1, 0))
		w.rest()
	}
	w.end()
}

// end lets go of the buffer.
func (w *Writer) end() {
	if w.ended = true; w.buf != nil {
		buffers.Put(w.buf.reset())
		w.buf = nil
	}
}
