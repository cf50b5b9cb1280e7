package connectum

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// register lists the calls in flight, so that they can be watched, told to
// end and named. It is cut into shards to keep its locks short.
type register [8]shard

type shard struct {
	mu   sync.Mutex
	head *call
	_    [48]byte // a cache line each
}

func (r *register) add(c *call) {
	sh := &r[rand.Uint32()%uint32(len(r))]
	c.shard = sh
	sh.mu.Lock()
	c.next = sh.head
	if c.next != nil {
		c.next.prev = c
	}
	sh.head = c
	sh.mu.Unlock()
}

func (r *register) remove(c *call) {
	sh := c.shard
	sh.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		sh.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	sh.mu.Unlock()
}

// each calls f for every call in flight, with the lock of its shard held: c
// can't leave meanwhile. f must be quick and must not end calls itself.
func (r *register) each(f func(c *call)) {
	for i := range r {
		sh := &r[i]
		sh.mu.Lock()
		for c := sh.head; c != nil; c = c.next {
			f(c)
		}
		sh.mu.Unlock()
	}
}

// pick returns the calls in flight for which want is true.
func (r *register) pick(want func(c *call) bool) []*call {
	var out []*call
	r.each(func(c *call) {
		if want(c) {
			out = append(out, c)
		}
	})
	return out
}

// flight counts the calls in flight and tells when there are none.
type flight struct {
	n    atomic.Int64
	told atomic.Bool   // somebody waits for none
	idle chan struct{} // buffered: a hint to look at n again
}

func (f *flight) count() int64 { return f.n.Load() }

func (f *flight) enter() { f.n.Add(1) }

func (f *flight) leave() {
	if f.n.Add(-1) == 0 && f.told.Load() {
		select {
		case f.idle <- struct{}{}:
		default:
		}
	}
}

// enter takes a call into the register and the count.
func (s *Server) enter(c *call) {
	if !c.system {
		s.flight.enter()
	}
	s.calls.add(c)
}

// leave undoes enter.
func (s *Server) leave(c *call) {
	s.calls.remove(c)
	if !c.system {
		s.flight.leave()
	}
}
