//go:build unix

package restart_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/clients"
)

var soak = flag.Duration("soak", 6*time.Second, "how long TestSoakIsFlat loads a server, over each transport")

// Under load from every kind of client a server's memory and goroutines stay as
// they are, and when the clients have gone it is as it was before they came.
func TestSoakIsFlat(t *testing.T) {
	t.Parallel()
	transports(t, func(t *testing.T, secure bool) {
		p := newProgram(t, "connectum", 0, secure)
		x := p.start(t)
		vitals := newVitals(x.addr, p.trust)
		before := vitals.read(t)
		l := newLoad()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		all, err := clients.All(clients.Target{Addr: x.addr, TLS: p.trust, Work: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range all {
			l.run(ctx, client, 0)
		}
		l.await(t)

		var seen []vital
		tick := time.NewTicker(max(*soak/60, 100*time.Millisecond))
		defer tick.Stop()
		for end := time.Now().Add(*soak); time.Now().Before(end); <-tick.C {
			seen = append(seen, vitals.read(t))
		}
		cancel()
		l.workers.Wait()
		after := vitals.settle(t, before, func() {
			// Again and again: Go's HTTP/2 client keeps a connection for good on
			// which a call that was cancelled is not cleared up yet.
			for _, client := range all {
				client.Close()
			}
		})
		l.report(t)

		// The first third is for caches and pools to fill.
		early, late := median(seen[len(seen)/3:len(seen)*2/3]), median(seen[len(seen)*2/3:])
		t.Logf("%v, %d calls, %d failed; before %v, then %v, at last %v, after %v", *soak, l.calls.Load(), l.failed.Load(), before, early, late, after)
		if l.failed.Load() > 0 {
			t.Errorf("%d calls failed", l.failed.Load())
		}
		if late.heap > early.heap*1.2+(1<<20) {
			t.Errorf("the heap grows: %v, then %v", early, late)
		}
		if late.goroutines > early.goroutines*1.1+20 {
			t.Errorf("goroutines grow: %v, then %v", early, late)
		}
		if after.goroutines > before.goroutines+2 {
			t.Errorf("%v goroutines are left, of %v before", after.goroutines, before.goroutines)
		}
		if after.heap > before.heap+(4<<20) {
			t.Errorf("%v are left, of %v before", after, before)
		}
		if err := x.stop(); err != nil {
			t.Error(err)
		}
	})
}

// vital is what a process tells of itself.
type vital struct {
	goroutines float64
	heap       float64 // bytes, after a collection
}

func (v vital) String() string {
	return fmt.Sprintf("%.0f goroutines and %.1f MiB", v.goroutines, v.heap/(1<<20))
}

func median(of []vital) vital {
	pick := func(f func(vital) float64) float64 {
		var all []float64
		for _, v := range of {
			all = append(all, f(v))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return vital{goroutines: pick(func(v vital) float64 { return v.goroutines }), heap: pick(func(v vital) float64 { return v.heap })}
}

// vitals asks a process, over a new connection each time.
type vitals struct {
	client *http.Client
	url    string
}

func newVitals(addr string, trust *tls.Config) vitals {
	scheme, transport := "http", &http.Transport{DisableKeepAlives: true}
	if trust != nil {
		scheme, transport.TLSClientConfig = "https", trust.Clone()
	}
	return vitals{&http.Client{Transport: transport, Timeout: patience}, scheme + "://" + addr + "/vitals"}
}

func (v vitals) read(t testing.TB) (now vital) {
	t.Helper()
	res, err := v.client.Get(v.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		var name string
		var value float64
		if n, _ := fmt.Sscan(lines.Text(), &name, &value); n != 2 {
			continue
		}
		switch name {
		case "goroutines":
			now.goroutines = value
		case "heap":
			now.heap = value
		}
	}
	if now.goroutines == 0 || now.heap == 0 {
		t.Fatalf("%s tells nothing", v.url)
	}
	return now
}

// settle has the clients leave, and waits until the process has about the
// goroutines that it had before.
func (v vitals) settle(t testing.TB, before vital, leave func()) (now vital) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		leave()
		if now = v.read(t); now.goroutines <= before.goroutines+2 {
			break
		}
	}
	return now
}
