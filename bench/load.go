//go:build !only && unix

package main

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

// caller makes one call and checks its answer. It is used by one goroutine.
type caller interface {
	call() error
	close()
}

// load is what calls one server in one way, with its connections open.
type load struct {
	*workload
	callers []caller
	closers []func()
}

// dial opens the connections of w to addr.
func (w *workload) dial(addr string) (*load, error) {
	l := &load{workload: w}
	if w.http1 != "" {
		for range w.inFlight {
			c, err := dialHTTP1(addr, w.http1, w.text())
			if err != nil {
				l.close()
				return nil, err
			}
			l.callers = append(l.callers, c)
		}
		return l, nil
	}
	dial := dialGRPC
	if w.gzip {
		dial = func(addr string) (*grpc.ClientConn, error) { return dialGzip(addr) }
	}
	for range w.conns {
		conn, err := dial(addr)
		if err != nil {
			l.close()
			return nil, err
		}
		l.closers = append(l.closers, func() { _ = conn.Close() })
		for range w.inFlight / w.conns {
			l.callers = append(l.callers, newGRPCCaller(conn, w))
		}
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.callers {
		c.close()
	}
	for _, c := range l.closers {
		c()
	}
}

// timing is what the load saw of a round.
type timing struct {
	perSecond float64
	p50, p99  time.Duration
}

// run makes n calls, and ends with the first that fails.
func (l *load) run(n int) (timing, error) {
	var left atomic.Int64
	left.Store(int64(n))
	took := make([][]time.Duration, len(l.callers))
	errs := make([]error, len(l.callers))
	var wg sync.WaitGroup
	began := time.Now()
	for i, c := range l.callers {
		took[i] = make([]time.Duration, 0, 2*n/len(l.callers)+1)
		wg.Go(func() {
			last := time.Now()
			for left.Add(-1) >= 0 {
				if errs[i] = c.call(); errs[i] != nil {
					left.Store(0)
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(last))
				last = now
			}
		})
	}
	wg.Wait()
	whole := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return timing{}, err
		}
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return timing{float64(n) / whole.Seconds(), all[len(all)/2], all[len(all)*99/100]}, nil
}

// await waits until addr takes connections: some contenders listen by
// themselves.
func await(addr string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody listens: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}
