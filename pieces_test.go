package connectum_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum"
)

// HTTP/1.1 comes in whatever pieces it likes, with pauses that are short of a
// limit or over it, one request after the other or several at once: the answers,
// and the end of the connection, are those of net/http alone.
func TestRequestsInPiecesAreAnsweredAsByNetHTTPAlone(t *testing.T) {
	t.Parallel()
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
	post := func(body string) string {
		return fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	chunked := "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
	for name, requests := range map[string][]string{
		"one":                     {get("/")},
		"one with a body":         {post("hello")},
		"kept alive":              {get("/"), post("hello"), get("/a"), post(""), chunked, get("/b")},
		"pipelined":               {get("/") + post("hello") + get("/a") + chunked + post("") + get("/b")},
		"both":                    {get("/") + post("hello"), chunked + get("/a"), post("x") + post("y") + get("/b")},
		"like the preface":        {"PRI / HTTP/1.1\r\nHost: localhost\r\n\r\n", "P /x HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		"body that nobody reads":  {strings.Replace(post(strings.Repeat("x", 150)), "/echo", "/deaf", 1), get("/a")},
		"asks to close":           {strings.Replace(post("hello"), "\r\n", "\r\nConnection: close\r\n", 1)},
		"an empty line in front":  {post("hello") + "\r\n" + get("/a")},
		"no request":              {"no request\r\n\r\n"},
		"no host":                 {"GET / HTTP/1.1\r\n\r\n"},
		"ends in its header":      {"half:" + get("/")[:20], "EOF"},
		"ends in its first line":  {"half:GET /", "EOF"},
		"ends in its body":        {"half:" + post("hello")[:62], "EOF"},
		"nothing, and it ends":    {"EOF"},
		"ends after a whole one":  {get("/"), "EOF"},
		"a large body, in one go": {post(strings.Repeat("0123456789", 20_000))},
	} {
		for cut, pieces := range map[string]func(i int, rest string) (n int, pause time.Duration){
			"whole":          func(_ int, rest string) (int, time.Duration) { return len(rest), 0 },
			"byte by byte":   func(int, string) (int, time.Duration) { return 1, time.Millisecond },
			"in two":         func(i int, rest string) (int, time.Duration) { return max(len(rest)/2, 1), 200 * time.Millisecond },
			"at the preface": func(i int, rest string) (int, time.Duration) { return min(14, len(rest)), 100 * time.Millisecond },
			"just in time":   func(i int, rest string) (int, time.Duration) { return min(30, len(rest)), 1600 * time.Millisecond },
			"too late":       func(i int, rest string) (int, time.Duration) { return min(20, len(rest)), 2100 * time.Millisecond },
			"the first byte, 4.9 s": func(i int, rest string) (int, time.Duration) {
				return min(1+1000*i, len(rest)), 4900 * time.Millisecond
			},
			"the first byte, 5.1 s": func(i int, rest string) (int, time.Duration) {
				return min(1+1000*i, len(rest)), 5100 * time.Millisecond
			},
		} {
			if len(requests[0]) > 10_000 && cut != "whole" && cut != "in two" {
				continue
			}
			t.Run(name+", "+cut, func(t *testing.T) {
				t.Parallel()
				var want []string
				for _, how := range []struct{ plain, secure, engine bool }{
					{plain: true}, {}, {engine: true}, {secure: true}, {secure: true, engine: true},
				} {
					var got []string
					synctest.Test(t, func(t *testing.T) {
						got = converse(t, how.plain, how.secure, how.engine, requests, pieces)
					})
					if how.plain {
						want = got
					} else if !slices.Equal(got, want) {
						t.Errorf("TLS %v, engine %v:\n%s\nwant\n%s", how.secure, how.engine, strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
			})
		}
	}
}

// converse sends requests in pieces, each after the answers to the one before it,
// and returns what came back.
func converse(t *testing.T, plain, secure, engine bool, requests []string, pieces func(i int, rest string) (int, time.Duration)) (answers []string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		fmt.Fprintf(w, "%d %.20q", len(body), body)
	})
	mux.HandleFunc("/deaf", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, r.URL.Path) })
	memory := newMemory()
	ended, stop := make(chan error, 1), func() {}
	var trust *tls.Config
	if plain {
		srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
		go func() { ended <- srv.Serve(memory) }()
		stop = func() { _ = srv.Close() }
	} else {
		cfg := quiet()
		if secure {
			ca := newAuthority(t, "ca", nil)
			cert, key := ca.valid(t, "server")
			cfg.TLS = connectum.TLS{CertPEM: cert, KeyPEM: key}
			trust = ca.trust()
			trust.ServerName = "localhost"
		}
		srv := connectum.New(cfg)
		srv.Handle("/", mux)
		if engine {
			srv.AddEngine(new(toy).engine())
		}
		go func() { ended <- srv.Serve(context.Background(), memory) }()
		stop = func() { _ = srv.Shutdown(context.Background()) }
	}
	defer func() {
		stop()
		<-ended
		time.Sleep(2 * time.Second)
	}()
	c, err := memory.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closeWrite := c.(interface{ CloseWrite() error }).CloseWrite
	if secure {
		s := tls.Client(c, trust)
		if err := s.Handshake(); err != nil {
			t.Error(err)
		}
		c, closeWrite = s, s.CloseWrite
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Hour))
	in := bufio.NewReader(c)
	began := time.Now()
	for _, text := range requests {
		text, half := strings.CutPrefix(text, "half:") // of a request: its end is next
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			if text == "EOF" {
				_ = closeWrite()
				return
			}
			for i, rest := 0, text; rest != ""; i++ {
				n, pause := pieces(i, rest)
				if _, err := io.WriteString(c, rest[:n]); err != nil {
					return
				}
				if rest = rest[n:]; rest != "" {
					time.Sleep(pause)
				}
			}
		}()
		for range max(strings.Count(text, " HTTP/1.1\r\n"), 1) {
			if half {
				break
			}
			answer := read(in)
			if plain && strings.HasPrefix(answer, `400 Bad Request "400`) && time.Since(began) >= 5*time.Second {
				// Where the timeout strikes in the first line, net/http alone takes what
				// has come for the whole of it. Here nobody is blamed.
				answer = "end"
			}
			began = time.Now()
			if answers = append(answers, answer); strings.HasPrefix(answer, "end") {
				<-sent
				return answers
			}
		}
		<-sent
	}
	return append(answers, fmt.Sprint("then ", after(c, in)))
}

// read reads one answer.
func read(in *bufio.Reader) string {
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return "end" // of which kind depends on TLS
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "end in the body"
	}
	return fmt.Sprintf("%s %q close=%v", res.Status, body, res.Close)
}

// after tells when a connection on which nothing more is sent is closed.
func after(c net.Conn, in *bufio.Reader) time.Duration {
	began := time.Now()
	_, _ = in.ReadByte()
	return time.Since(began).Round(time.Second)
}

// The time of a header does not begin before the TLS handshake has ended.
func TestASlowHandshakeTakesNothingFromTheHeader(t *testing.T) {
	t.Parallel()
	for _, engine := range []bool{false, true} {
		t.Run(fmt.Sprint("engine ", engine), func(t *testing.T) {
			t.Parallel()
			stopping(t, true, engine, func(v *victim, trust *tls.Config) {
				raw := v.dial()
				c := tls.Client(&halting{raw, 100, 4 * time.Second}, trust)
				_, _ = io.WriteString(c, "GET /none HTTP/1.1\r\nHost: ")
				time.Sleep(4 * time.Second)
				_, _ = io.WriteString(c, "localhost\r\n\r\n")
				if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusNotFound {
					t.Errorf("%v, %v", res, err)
				}
				_ = raw.Close()
			})
		})
	}
}
