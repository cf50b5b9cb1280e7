//go:build unix

package frames_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/conformance/internal/clients"
	"github.com/connectum-go/connectum/connectumtest"
)

var calls = flag.Int("calls", 10_000, "how many calls TestHonestClientsAreNotCut makes, in all")

// No client that behaves is taken for a flood, whatever it does a lot of: calls,
// streams, cancellations of a third of them, on connections that they share.
func TestHonestClientsAreNotCut(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plaintext", true: "TLS"}[secure], func(t *testing.T) {
			t.Parallel()
			var cert connectumtest.Certificate
			var trust *tls.Config
			ca := ""
			if secure {
				certs := connectumtest.Certs(t)
				cert, trust, ca = certs.Server, certs.Trust(), certs.CAFile
			}
			srv, addr := start(t, cert)
			target := clients.Target{Addr: addr.String(), TLS: trust}
			all, err := clients.All(target)
			if err != nil {
				t.Fatal(err)
			}
			share := *calls / 2 / (len(all) + 1) // of both transports, and of curl
			var made, cancelled, failed atomic.Int64
			var running sync.WaitGroup
			for _, client := range all {
				t.Cleanup(client.Close)
				running.Go(func() { hammer(t, client, share, &made, &cancelled, &failed) })
			}
			// With prior knowledge curl 7 can't use a connection twice, of net/http
			// alone neither: over plaintext it speaks HTTP/1.1.
			version := map[bool]string{false: "--http1.1", true: "--http2"}[secure]
			running.Go(func() { made.Add(curl(t, target, ca, share, version)) })
			running.Wait()
			t.Logf("%d calls by %d kinds of clients, %d more cancelled: %d failed, %v connections cut",
				made.Load(), len(all)+1, cancelled.Load(), failed.Load(), metric(srv, "connectum_frame_floods_total"))
			if n := metric(srv, "connectum_frame_floods_total"); n != 0 {
				t.Errorf("%v connections were cut as floods", n)
			}
			if want := int64(share * (len(all) + 1)); made.Load() < want || cancelled.Load() == 0 {
				t.Errorf("%d calls and %d cancellations, want %d calls: nothing was proven", made.Load(), cancelled.Load(), want)
			}
			if n := metric(srv, "connectum_connections_http2"); secure && n == 0 {
				t.Error("no connection speaks HTTP/2")
			}
		})
	}
}

// hammer makes so many calls by client, eight at a time, and begins half as many
// more over HTTP/2 that it cancels at once.
func hammer(t *testing.T, client clients.Client, n int, made, cancelled, failed *atomic.Int64) {
	// Over HTTP/1.1 there are no frames, and net/http's client may close with a
	// call that is cancelled the connection that it has given to the next.
	two := !strings.Contains(client.Name, "h1")
	var running sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range n {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := client.Call(ctx); err != nil {
				failed.Add(1)
				t.Errorf("%s: %v", client.Name, err)
			}
			made.Add(1)
			if two && i%2 == 0 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				_ = client.Call(ctx)
				cancelled.Add(1)
			}
		})
		if failed.Load() > 10 {
			break
		}
	}
	running.Wait()
}

// curl makes n calls from one process, fifty at a time, and returns how many
// were answered in full.
func curl(t *testing.T, target clients.Target, ca string, n int, version string) int64 {
	scheme := "http"
	if target.TLS != nil {
		scheme = "https"
	}
	url := fmt.Sprintf("%s://%s/connectum.test.v1.TestService/Echo?n=[1-%d]", scheme, target.Addr, n)
	args := []string{version, "--silent", "--show-error", "--no-progress-meter", "--parallel", "--parallel-max", "50", "--max-time", "300",
		"--header", "Content-Type: application/json", "--data", `{"text":"by curl"}`, "--output", os.DevNull,
		"--write-out", "answered %{http_code} %{size_download}\n"}
	if ca != "" {
		args = append(args, "--cacert", ca)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "curl", append(args, url)...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	right := 0
	for line := range strings.Lines(string(out)) {
		var code, size int
		// The text comes with a space after its name or without, by the build.
		if _, err := fmt.Sscanf(line, "answered %d %d", &code, &size); err == nil && code == 200 && size >= len(`{"text":"by curl"}`) {
			right++
		}
	}
	if err != nil || right != n {
		t.Errorf("curl %s: %d of %d answers are right, %v\n%.2000s", version, right, n, err, said.String())
	}
	return int64(right)
}

func metric(srv *connectum.Server, name string) (v float64) {
	for sample := range srv.Metrics() {
		if sample.Name == name {
			v += sample.Value
		}
	}
	return v
}
