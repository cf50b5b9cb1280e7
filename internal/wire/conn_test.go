package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/connectum-go/connectum/internal/wire"
)

func TestCallsOfEverySizePassUnchanged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if (r.TLS != nil) != (cfg.TLS != nil) {
				t.Errorf("r.TLS = %v", r.TLS)
			}
			w.Header().Set("Trailer", "End")
			w.Write(body)
			w.Header().Set("End", fmt.Sprint(len(body)))
		}), nil)
		client := s.client(t, proto)
		for _, size := range []int{0, 1, 9, 1000, 4096, 16 << 10, 16<<10 + 1, 40 << 10, 3 << 20} {
			body := bytes.Repeat([]byte("connectum"), size/9+1)[:size]
			resp, err := client.Post(s.url("/"), "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes: got %d, %v", size, len(got), err)
			}
			if end := resp.Trailer.Get("End"); end != fmt.Sprint(size) {
				t.Errorf("trailer = %q", end)
			}
			if want := map[string]int{"h1": 1, "h2": 2}[proto]; resp.ProtoMajor != want {
				t.Fatalf("protocol = %s", resp.Proto)
			}
		}
	})
}

func TestManyStreamsShareAConnection(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, cfg wire.Config, proto string) {
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // HTTP/1.1 is not full duplex
			w.Write(body)
		}), nil)
		client := s.client(t, proto)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for j := range 30 {
					want := strings.Repeat(fmt.Sprintf("%d-%d ", i, j), 1+j*j)
					resp, err := client.Post(s.url("/"), "text/plain", strings.NewReader(want))
					if err != nil {
						t.Error(err)
						return
					}
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if err != nil || string(got) != want {
						t.Errorf("got %d bytes of %d, %v", len(got), len(want), err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := s.l.Stats().Floods; n != 0 {
			t.Errorf("%d honest connections were cut: %v", n, s.seen(wire.Flood))
		}
	})
}

func TestBidiStreamsEcho(t *testing.T) {
	t.Parallel()
	for _, cfg := range []wire.Config{all(), secured(t, all()), {GoAway: true}, {Batch: true}, {}} {
		s := serve(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			buf := make([]byte, 1024)
			for {
				n, err := r.Body.Read(buf)
				if n > 0 {
					w.Write(buf[:n])
					http.NewResponseController(w).Flush()
				}
				if err != nil {
					return
				}
			}
		}), nil)
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url("/"), pr)
		go io.WriteString(pw, "m0")
		resp, err := s.client(t, "h2").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 16)
		for i := 1; i < 100; i++ {
			n, err := resp.Body.Read(buf)
			if want := fmt.Sprint("m", i-1); err != nil || string(buf[:n]) != want {
				t.Fatalf("got %q, %v; want %q", buf[:n], err, want)
			}
			fmt.Fprint(pw, "m", i)
		}
		pw.Close()
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func TestCancelledStreamsEndTheirHandlersOnly(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 100)
	s := serve(t, all(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			return
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				break
			}
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}), nil)
	client := s.client(t, "h2")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", s.url("/long"), nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(resp.Body, make([]byte, 5000))
		cancel()
		resp.Body.Close()
		if err := within(t, "the handler ends", ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		resp, err = client.Get(s.url("/short"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if n := s.l.Stats().Accepted; n != 1 {
		t.Errorf("%d connections were needed", n)
	}
}
