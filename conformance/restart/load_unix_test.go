//go:build unix

package restart_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/conformance/internal/clients"
)

// load is traffic from every kind of client, until the context ends.
type load struct {
	calls   atomic.Int64
	failed  atomic.Int64
	unsent  atomic.Int64 // calls that clients.ErrUnsent is of
	ended   atomic.Int64 // held streams that ended as promised
	workers sync.WaitGroup
	callers map[string]bool // of clients that make calls one after the other

	mu     sync.Mutex
	counts map[string]int // of calls made, by client
	faults map[string]int
}

func newLoad() *load {
	return &load{callers: map[string]bool{}, counts: map[string]int{}, faults: map[string]int{}}
}

// run makes calls by client one after the other, with a pause in between.
func (l *load) run(ctx context.Context, client clients.Client, pause time.Duration) {
	l.callers[client.Name] = true
	l.workers.Go(func() {
		tick := time.NewTimer(pause)
		defer tick.Stop()
		for ctx.Err() == nil {
			err := client.Call(ctx)
			if err != nil && ctx.Err() != nil {
				return // the end of the load, not of the call
			}
			l.note(client.Name, err)
			if pause > 0 {
				tick.Reset(pause)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		}
	})
}

// hold keeps one stream open, opens the next when it has ended, and checks that
// each ends as promised.
func (l *load) hold(ctx context.Context, client clients.Client, how string) {
	l.workers.Go(func() {
		for ctx.Err() == nil {
			err := holdOnce(ctx, client, how)
			if ctx.Err() != nil {
				return
			}
			l.note(client.Name+" that "+how, err)
			if err == nil {
				l.ended.Add(1)
			}
		}
	})
}

// holdOnce returns nil when the stream ended as it should: one that heeds the
// drain with its farewell and well, a deaf one as unavailable.
func holdOnce(ctx context.Context, client clients.Client, how string) error {
	stream, err := client.Hold(ctx, how)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if _, err := stream.Next(); err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	text, err := stream.Next()
	if how == clients.Deaf {
		if isUnavailable(err) && strings.Contains(err.Error(), "shutting down") {
			return nil
		}
		return fmt.Errorf("ended with message %q, error %w", text, err)
	}
	if err != nil || text != clients.Farewell {
		return fmt.Errorf("the farewell is %q, error %w", text, err)
	}
	if _, err := stream.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the farewell: %w", err)
	}
	return nil
}

func isUnavailable(err error) bool {
	return connect.CodeOf(err) == connect.CodeUnavailable || status.Code(err) == codes.Unavailable
}

func (l *load) note(who string, err error) {
	l.calls.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[who]++
	switch {
	case errors.Is(err, clients.ErrUnsent):
		l.unsent.Add(1)
	case err != nil:
		l.failed.Add(1)
		l.faults[who+": "+err.Error()]++
	}
}

// await returns when every kind of client has made a call, and none has failed.
func (l *load) await(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		l.mu.Lock()
		all := len(l.counts) == len(l.callers)
		l.mu.Unlock()
		if l.failed.Load() > 0 || time.Now().After(deadline) {
			l.report(t)
			t.Fatal("the load fails without a restart")
		}
		if all {
			return
		}
	}
}

// report tells the counts, and the first of the failures.
func (l *load) report(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, who := range slices.Sorted(maps.Keys(l.counts)) {
		fmt.Fprintf(&b, "\n%8d %s", l.counts[who], who)
	}
	shown := 0
	for _, fault := range slices.Sorted(maps.Keys(l.faults)) {
		if shown++; shown > 20 {
			fmt.Fprintf(&b, "\n… %d kinds of failures in all", len(l.faults))
			break
		}
		fmt.Fprintf(&b, "\n%8d × %s", l.faults[fault], fault)
	}
	t.Log(b.String())
}

// open returns every kind of client for target, closed when the test ends.
func open(t testing.TB, target clients.Target) []clients.Client {
	t.Helper()
	all, err := clients.All(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range all {
			c.Close()
		}
	})
	return all
}
