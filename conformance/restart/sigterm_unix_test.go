//go:build unix

package restart_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/clients"
)

// Every call that is in flight when SIGTERM comes, and every one that begins
// while the port is open after it, is answered in full, over each protocol.
func TestSIGTERMUnderLoadAnswersEveryCall(t *testing.T) {
	t.Parallel()
	transports(t, func(t *testing.T, secure bool) {
		o := terminate(t, newProgram(t, "connectum", 2*time.Second, secure))
		if o.exit != nil {
			t.Error(o.exit)
		}
		if o.failed > 0 {
			t.Errorf("%d calls failed", o.failed)
		}
		for _, who := range slices.Sorted(maps.Keys(o.of)) {
			if o.of[who].across == 0 {
				t.Errorf("%s: no call was in flight at the signal", who)
			}
		}
	})
}

// The controls.
func TestSIGTERMAsUsualLosesCalls(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"no handler", "shutdown"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if o := terminate(t, newProgram(t, name, 0, false)); o.failed == 0 {
				t.Error("no call failed: the test above proves nothing")
			}
		})
	}
}

// outcome is what became of the calls of one process.
type outcome struct {
	failed int
	exit   error
	of     map[string]counts
}

type counts struct{ before, across, after, failed int }

// terminate runs p under load from every kind of client, two calls of each at a
// time, sends SIGTERM in the midst of it, and goes on calling for a while.
func terminate(t *testing.T, p program) outcome {
	t.Helper()
	const (
		long     = 60 * time.Millisecond
		goOn     = 300 * time.Millisecond
		ramp     = 10 // calls of each worker before the signal
		parallel = 2
	)
	x := p.start(t)
	var (
		mu       sync.Mutex
		signal   = make(chan struct{})
		over     = make(chan struct{})
		o        = outcome{of: map[string]counts{}}
		faults   = map[string]int{}
		ramped   sync.WaitGroup
		finished sync.WaitGroup
	)
	has := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, client := range open(t, clients.Target{Addr: x.addr, TLS: p.trust, Work: long}) {
		for range parallel {
			ramped.Add(1)
			finished.Go(func() {
				for n := 0; !has(over); n++ {
					if n == ramp {
						ramped.Done()
					}
					late := has(signal)
					err := client.Call(ctx)
					mu.Lock()
					c := o.of[client.Name]
					switch {
					case late:
						c.after++
					case has(signal):
						c.across++
					default:
						c.before++
					}
					if err != nil {
						c.failed++
						o.failed++
						faults[client.Name+": "+err.Error()]++
					}
					o.of[client.Name] = c
					mu.Unlock()
					if err != nil && late { // the process is gone: do not spin
						<-over
					}
				}
			})
		}
	}
	ramped.Wait()
	close(signal)
	stopped := make(chan error, 1)
	go func() { stopped <- x.stop() }()
	<-time.After(goOn)
	close(over)
	finished.Wait()
	o.exit = <-stopped

	var b strings.Builder
	var all counts
	fmt.Fprintf(&b, "\n before  across   after  failed  (calls that ended before, spanned and began after SIGTERM)\n")
	for _, who := range slices.Sorted(maps.Keys(o.of)) {
		c := o.of[who]
		fmt.Fprintf(&b, "%7d %7d %7d %7d  %s\n", c.before, c.across, c.after, c.failed, who)
		all = counts{all.before + c.before, all.across + c.across, all.after + c.after, all.failed + c.failed}
	}
	fmt.Fprintf(&b, "%7d %7d %7d %7d  in all\n", all.before, all.across, all.after, all.failed)
	for n, fault := range slices.Sorted(maps.Keys(faults)) {
		if n == 10 {
			fmt.Fprintf(&b, "… %d kinds of failures in all\n", len(faults))
			break
		}
		fmt.Fprintf(&b, "%d × %s\n", faults[fault], fault)
	}
	t.Log(b.String())
	return o
}
