package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a raw connection that takes bytes when it is let.
type sink struct {
	net.Conn
	mu       sync.Mutex
	got      bytes.Buffer
	writes   int
	room     int // bytes it will still take; -1: all
	deadline time.Time
	closed   bool
	changed  chan struct{}
}

func newSink(room int) *sink { return &sink{room: room, changed: make(chan struct{}, 1)} }

func (s *sink) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *sink) Write(p []byte) (n int, err error) {
	for {
		s.mu.Lock()
		k := len(p) - n
		if s.room >= 0 {
			k = min(k, s.room)
			s.room -= k
		}
		s.got.Write(p[n : n+k])
		n += k
		closed, deadline := s.closed, s.deadline
		if n == len(p) {
			s.writes++
		}
		s.mu.Unlock()
		switch {
		case n == len(p):
			return n, nil
		case closed:
			return n, net.ErrClosed
		case !deadline.IsZero() && time.Until(deadline) <= 0:
			return n, os.ErrDeadlineExceeded
		}
		var timeout <-chan time.Time
		if !deadline.IsZero() {
			timeout = time.After(time.Until(deadline))
		}
		select {
		case <-s.changed:
		case <-timeout:
		}
	}
}

func (s *sink) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	s.poke()
	return nil
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.poke()
	return nil
}

// give lets the sink take n bytes more.
func (s *sink) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room += n
	s.poke()
}

func (s *sink) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Len()
}

// queueOver returns a queue over s, and what it said in the end.
func queueOver(s *sink, batch bool) (*queue, <-chan error) {
	over := make(chan error, 1)
	sock := newSocket(s)
	return newQueue(sock, sock, batch, new(sentData), func(err error) { over <- err }), over
}

func TestWritesTogetherAreOneSystemCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(-1)
		q, _ := queueOver(s, true)
		for range 10 {
			q.Write([]byte("HEADERS"))
		}
		synctest.Wait()
		if s.writes > 3 || s.taken() != 70 {
			t.Errorf("%d writes of %d bytes", s.writes, s.taken())
		}
	})
}

func TestAFullQueueMakesWriteWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(0)
		q, _ := queueOver(s, true)
		done := make(chan error, 1)
		total := 0
		go func() {
			for range 1000 {
				n, err := q.Write(make([]byte, 1000))
				if total += n; err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		synctest.Wait()
		if total > 2*writeBytes {
			t.Errorf("%d bytes were taken while none was sent", total)
		}
		s.give(1 << 20)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s.taken() != 1000*1000 {
			t.Errorf("%d bytes came", s.taken())
		}
	})
}

func TestADeadlineUnblocksAWriteThatWaits(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, largeWrite} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink(0)
			q, over := queueOver(s, true)
			q.setDeadline(time.Now().Add(time.Minute))
			began := time.Now()
			var err error
			for err == nil {
				_, err = q.Write(make([]byte, size))
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if err := <-over; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection was told %v", err)
			}
		})
	}
}

func TestADeadlineSetMeanwhileUnblocksAWrite(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, largeWrite} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink(0)
			q, _ := queueOver(s, true)
			failed := make(chan error)
			go func() {
				var err error
				for err == nil {
					_, err = q.Write(make([]byte, size))
				}
				failed <- err
			}()
			synctest.Wait()
			q.setDeadline(time.Now().Add(-time.Second))
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			s.Close()
		})
	}
}

func TestAWriteThatProgressesOutlivesItsDeadline(t *testing.T) { // as HTTP2Config.WriteByteTimeout
	t.Parallel()
	for _, batch := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink(0)
			q, over := queueOver(s, batch)
			q.setDeadline(time.Now().Add(15 * time.Second))
			done := make(chan error, 1)
			go func() {
				_, err := q.Write(make([]byte, 10_000))
				q.setDeadline(time.Time{})
				done <- err
			}()
			for range 100 { // 100 bytes each ten seconds
				time.Sleep(10 * time.Second)
				s.give(100)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if s.taken() != 10_000 || len(over) > 0 {
				t.Errorf("%d bytes", s.taken())
			}
		})
	}
}

func TestAnErrorSurfacesOnTheNextWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(0)
		s.closed = true
		q, over := queueOver(s, true)
		if _, err := q.Write([]byte("queued")); err != nil {
			t.Error(err)
		}
		if err := <-over; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection was told %v", err)
		}
		if _, err := q.Write([]byte("next")); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(3)
		q, over := queueOver(s, true)
		q.Write([]byte("trailers"))
		if q.close() {
			t.Error("close says there is nothing to send")
		}
		if _, err := q.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		synctest.Wait()
		if len(over) > 0 {
			t.Error("over before everything was sent")
		}
		s.give(100)
		if err := <-over; err != nil || s.got.String() != "trailers" {
			t.Errorf("%q, %v", s.got.String(), err)
		}
	})
}

// Frames of ours wait for nobody, so that a peer who provokes them and takes none
// is cut in the end.
func TestAPeerThatTakesNoFramesOfOursIsCut(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string][]byte{
		"between frames": bare(frameSettings, 0, 0),
		"in a frame":     append(bare(frameSettings, 0, 0), bare(frameData, 0, 1, 1, 2, 3)[:10]...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSink(len(begin))
				q, over := queueOver(s, false)
				if _, err := q.Write(begin); err != nil {
					t.Fatal(err)
				}
				n := 0
				for ; n < 1_000_000; n++ {
					q.insert(appendReset(nil, 1, 0))
					synctest.Wait()
					select {
					case err := <-over:
						if !errors.Is(err, errUntaken) || n < 1000 {
							t.Errorf("%v after %d frames", err, n)
						}
						return
					default:
					}
				}
				t.Errorf("%d frames wait", n)
			})
		})
	}
}

func TestALargeWriteKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(-1)
		q, _ := queueOver(s, true)
		var want bytes.Buffer
		w := io.MultiWriter(&want, q)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 300 {
			p := bytes.Repeat([]byte{byte(i)}, 1+r.IntN(1<<(1+r.IntN(17))))
			if n, err := w.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		synctest.Wait()
		if !bytes.Equal(s.got.Bytes(), want.Bytes()) {
			t.Error("bytes came in another order")
		}
	})
}

// places returns where frames may be inserted into p, by a second reading of
// RFC 9113, sections 4.1, 4.3 and 6.10.
func places(p []byte) map[int]bool {
	legal := make(map[int]bool)
	for at := 0; at+headerBytes <= len(p); {
		n := int(p[at])<<16 | int(p[at+1])<<8 | int(p[at+2])
		kind, flags := p[at+3], p[at+4]
		at += headerBytes + n
		block := kind == frameHeaders || kind == framePush || kind == frameContinuation
		_, before := legal[-1]
		open := before
		if block {
			open = flags&flagEndHeaders == 0
		}
		if delete(legal, -1); open {
			legal[-1] = true
		} else if at <= len(p) {
			legal[at] = true
		}
	}
	delete(legal, -1)
	return legal
}

func FuzzOutgoing(f *testing.F) {
	settings := bare(frameSettings, 0, 0)
	block := append(bare(frameHeaders, 0, 1, 1, 2, 3), bare(frameContinuation, flagEndHeaders, 1, 4)...)
	f.Add(append(settings, block...), uint64(1), uint16(0), true)
	f.Add(append(settings, block...), uint64(2), uint16(20), false)
	f.Add(append(bytes.Clone(settings), bare(frameData, 0, 1, make([]byte, 300)...)...), uint64(3), uint16(50), true)
	f.Add(append(bytes.Clone(settings), bare(frameData, 0, 1, make([]byte, 40<<10)...)...), uint64(3), uint16(50), true)
	f.Add(append(bare(framePush, 0, 1, 0, 0, 0, 2), bare(frameContinuation, flagEndHeaders, 1)...), uint64(4), uint16(0), true)
	f.Add([]byte{}, uint64(5), uint16(0), false)
	f.Fuzz(func(t *testing.T, p []byte, seed uint64, when uint16, batch bool) {
		s := newSink(-1)
		q, _ := queueOver(s, batch)
		cuts := rand.New(rand.NewPCG(seed, 0))
		asked := -1
		for rest := p; len(rest) > 0; {
			if at := len(p) - len(rest); asked < 0 && at >= int(when) {
				asked = at
				q.ask(false)
			}
			k := 1 + cuts.IntN(min(len(rest), 1+cuts.IntN(20_000)))
			if n, err := q.Write(rest[:k]); n != k || err != nil {
				t.Fatal(n, err)
			}
			rest = rest[k:]
		}
		done := make(chan error, 1)
		q.mu.Lock()
		q.done = func(err error) { done <- err }
		q.mu.Unlock()
		if !q.close() {
			<-done
		}
		got := s.got.Bytes()
		legal := places(p)
		frame := appendLeave(nil)
		if asked >= 0 && len(got) == len(p)+len(frame) {
			for at := range legal { // p may hold the same bytes itself
				if at >= asked && bytes.Equal(got[:at], p[:at]) && bytes.HasPrefix(got[at:], frame) && bytes.Equal(got[at+len(frame):], p[at:]) {
					return
				}
			}
			t.Fatalf("GOAWAY stands where it may not")
		}
		if !bytes.Equal(got, p) {
			t.Fatalf("%d bytes became %d others", len(p), len(got))
		}
		for at := range legal {
			if asked >= 0 && at >= asked {
				t.Fatalf("GOAWAY could have stood at %d, but did not", at)
			}
		}
	})
}
