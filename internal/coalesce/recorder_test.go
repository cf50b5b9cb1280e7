package coalesce_test

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/connectum-go/connectum/internal/coalesce"
)

// recorder is a ResponseWriter whose flushes wait for the test.
type recorder struct {
	mu      sync.Mutex
	header  http.Header
	body    bytes.Buffer
	writes  int
	flushes int
	inside  atomic.Int32
	gate    chan struct{} // nil: flushes do not wait
	err     error
	panics  any
	cut     chan struct{} // closed by SetWriteDeadline
}

func newRecorder() *recorder {
	return &recorder{header: http.Header{}, cut: make(chan struct{})}
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(int)     {}

func (r *recorder) Write(p []byte) (int, error) {
	if r.inside.Add(1) > 1 {
		panic("two at a time")
	}
	defer r.inside.Add(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.panics != nil {
		panic(r.panics)
	}
	r.writes++
	r.body.Write(p)
	return len(p), r.err
}

func (r *recorder) FlushError() error {
	if r.inside.Add(1) > 1 {
		panic("two at a time")
	}
	defer r.inside.Add(-1)
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-r.cut:
			return context.DeadlineExceeded
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushes++
	return r.err
}

func (r *recorder) SetWriteDeadline(time.Time) error {
	close(r.cut)
	return nil
}

func (r *recorder) counts() (writes, flushes, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writes, r.flushes, r.body.Len()
}

// begin returns a Writer whose headers are out.
func begin(r *recorder) *coalesce.Writer {
	w := new(coalesce.Writer)
	w.Reset(r)
	w.Flush()
	return w
}
