package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/internal/coalesce"
)

func TestTheFirstFlushIsDoneBeforeItReturns(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	w := new(coalesce.Writer)
	w.Reset(r)
	io.WriteString(w, "first")
	if err := w.FlushError(); err != nil {
		t.Fatal(err)
	}
	if _, flushes, size := r.counts(); flushes != 1 || size != 5 {
		t.Errorf("%d flushes of %d bytes", flushes, size)
	}
}

func TestALoneMessageGoesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		for i := range 3 {
			io.WriteString(w, "m")
			w.Flush()
			synctest.Wait() // no time passes
			if _, flushes, size := r.counts(); flushes != i+2 || size != i+1 {
				t.Errorf("%d flushes of %d bytes", flushes, size)
			}
		}
		if err := w.Finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestMessagesSentDuringAFlushRideAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.gate = make(chan struct{})
		var want strings.Builder
		for i := range 100 {
			fmt.Fprintf(&want, "%d ", i)
			fmt.Fprintf(w, "%d ", i)
			w.Flush()
			synctest.Wait()
		}
		close(r.gate)
		synctest.Wait()
		if writes, flushes, _ := r.counts(); writes != 2 || flushes != 3 {
			t.Errorf("%d writes, %d flushes", writes, flushes)
		}
		if err := w.Finish(); err != nil || r.body.String() != want.String() {
			t.Errorf("%q, %v", r.body.String(), err)
		}
	})
}

func TestWriteWaitsWhenTooMuchIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.gate = make(chan struct{})
		var taken atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				w.Write(make([]byte, 1000))
				w.Flush()
				taken.Add(1000)
			}
		}()
		synctest.Wait()
		if n := taken.Load(); n > 2*coalesce.MaxBytes {
			t.Errorf("%d bytes were taken while nothing was sent", n)
		}
		close(r.gate)
		<-done
		if err := w.Finish(); err != nil || r.body.Len() != 1000*1000 {
			t.Errorf("%d bytes, %v", r.body.Len(), err)
		}
	})
}

func TestAMessageLargerThanTheQueuePasses(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	w := begin(r)
	if n, err := w.Write(make([]byte, 5*coalesce.MaxBytes+3)); n != 5*coalesce.MaxBytes+3 || err != nil {
		t.Error(n, err)
	}
	if err := w.Finish(); err != nil || r.body.Len() != 5*coalesce.MaxBytes+3 {
		t.Errorf("%d bytes, %v", r.body.Len(), err)
	}
}

func TestAnErrorSurfacesByTheNextWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.err = errors.New("gone")
		io.WriteString(w, "lost")
		w.Flush()
		synctest.Wait()
		if _, err := io.WriteString(w, "next"); err != r.err {
			t.Errorf("Write: %v", err)
		}
		if err := w.FlushError(); err != r.err {
			t.Errorf("Flush: %v", err)
		}
		if err := w.Finish(); err != r.err {
			t.Errorf("Finish: %v", err)
		}
		if r.body.String() != "lost" {
			t.Errorf("written after an error: %q", r.body.String())
		}
	})
}

func TestAnErrorWakesAWriterThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.gate = make(chan struct{})
		failed := make(chan error)
		go func() {
			_, err := w.Write(make([]byte, 10*coalesce.MaxBytes))
			failed <- err
		}()
		synctest.Wait()
		r.SetWriteDeadline(time.Now())
		if err := <-failed; err != context.DeadlineExceeded {
			t.Error(err)
		}
		w.Abort()
	})
}

func TestFinishLeavesTheLastMessagesToTheEndOfTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.gate = make(chan struct{})
		io.WriteString(w, "a")
		w.Flush()
		synctest.Wait()
		io.WriteString(w, "b")
		w.Flush()
		done := make(chan error)
		go func() { done <- w.Finish() }()
		synctest.Wait()
		close(r.gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, flushes, size := r.counts(); flushes != 2 || size != 2 {
			t.Errorf("%d flushes of %d bytes", flushes, size)
		}
		if _, err := io.WriteString(w, "late"); err == nil {
			t.Error("a Write after Finish succeeded")
		}
		w.Abort()
		if r.body.String() != "ab" {
			t.Errorf("%q", r.body.String())
		}
	})
}

func TestAPanickingHandlerWritesNoMoreAndIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.gate = make(chan struct{})
		func() {
			defer func() { recover() }()
			defer w.Abort()
			io.WriteString(w, "sent")
			w.Flush()
			synctest.Wait() // it hangs in its flush
			io.WriteString(w, "never")
			panic("handler")
		}()
		if r.inside.Load() != 0 {
			t.Error("the flush was not waited for")
		}
		if r.body.String() != "sent" {
			t.Errorf("%q", r.body.String())
		}
	})
}

func TestAPanicBelowReachesTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := begin(r)
		r.panics = "below"
		io.WriteString(w, "x")
		w.Flush()
		synctest.Wait()
		defer func() {
			if p := recover(); p != "below" {
				t.Errorf("recovered %v", p)
			}
			w.Abort()
		}()
		w.Flush()
	})
}

func TestAWriterIsReusedWithoutAllocations(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	r := newRecorder()
	message := []byte("message")
	w := new(coalesce.Writer)
	w.Reset(r)
	w.Flush()
	allocs := testing.AllocsPerRun(1000, func() {
		w.Write(message)
		w.Flush()
		r.mu.Lock()
		r.body.Reset()
		r.mu.Unlock()
	})
	if w.Finish(); allocs >= 1 {
		t.Errorf("%v allocations a message", allocs)
	}
}

func TestHeadersAreSharedWithMiddlewareUntilTheyAreSent(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	r.header.Set("Before", "middleware")
	r.header.Set("Unwanted", "x")
	w := new(coalesce.Writer)
	w.Reset(r)
	if w.Header().Get("Before") != "middleware" {
		t.Error("a header set before is not seen")
	}
	w.Header().Del("Unwanted")
	w.Header().Set("Mine", "1")
	w.WriteHeader(http.StatusOK)
	if r.header.Get("Mine") != "1" || r.header.Get("Unwanted") != "" {
		t.Errorf("%v", r.header)
	}
	w.Flush()
	w.Header().Set("Status", "0")
	if r.header.Get("Status") != "" {
		t.Error("net/http's map is written while it may be read")
	}
	if w.Finish(); r.header.Get("Status") != "0" {
		t.Error("the trailer is lost")
	}
}

func TestWithoutAFlusherEverythingPasses(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	w := new(coalesce.Writer)
	w.Reset(struct{ http.ResponseWriter }{r})
	io.WriteString(w, "a")
	if err := w.FlushError(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	io.WriteString(w, "b")
	if r.body.String() != "ab" || w.Finish() != nil {
		t.Errorf("%q", r.body.String())
	}
}

func TestStreamsOverNetHTTPKeepOrderTrailersAndCancellation(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				w := new(coalesce.Writer)
				w.Reset(rw)
				defer w.Abort()
				w.Header().Set("Trailer", "Grpc-Status")
				for i := 0; r.URL.Path == "/endless" || i < 1000; i++ {
					if _, err := fmt.Fprintf(w, "%d ", i); err != nil {
						break
					}
					if http.NewResponseController(w).Flush() != nil {
						break
					}
				}
				w.Header().Set("Grpc-Status", "0")
				w.Header().Set(http.TrailerPrefix+"Late", "yes")
				err := w.Finish()
				if r.URL.Path == "/endless" {
					ended <- err
				}
			}))
			s.Config.Protocols, s.Config.ErrorLog = new(http.Protocols), nil
			s.Config.Protocols.SetHTTP1(true)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			defer s.Close()
			tr := &http.Transport{Protocols: new(http.Protocols)}
			defer tr.CloseIdleConnections()
			tr.Protocols.SetHTTP1(proto == "h1")
			tr.Protocols.SetUnencryptedHTTP2(proto == "h2")
			client := &http.Client{Transport: tr}

			var want strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&want, "%d ", i)
			}
			for range 20 {
				resp, err := client.Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != want.String() {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if resp.Trailer.Get("Grpc-Status") != "0" || resp.Trailer.Get("Late") != "yes" {
					t.Errorf("trailers %v", resp.Trailer)
				}
			}

			resp, err := client.Get(s.URL + "/endless")
			if err != nil {
				t.Fatal(err)
			}
			io.ReadFull(resp.Body, make([]byte, 100))
			resp.Body.Close()
			if err := <-ended; err == nil {
				t.Error("the handler was not told that its client left")
			}
		})
	}
}
