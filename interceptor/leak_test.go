package interceptor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/validate"
)

// marker is the secret that is thrown about.
const marker = "s3cr3tMARKERvalue42"

// attack puts text, which holds the marker, where it must not get out.
type attack struct {
	name    string
	do      func(ctx context.Context, spec connect.Spec, stream connect.ServerStream, text string) error
	streams bool // needs streamed answers
	naive   bool // a naive server would tell it
}

var errKnown = errors.New("known to the table")

// grumpy is an error that can't even be read.
type grumpy struct{ text string }

func (g grumpy) Error() string { panic(g.text) }

type stringer struct{ text string }

func (s stringer) String() string { return s.text }

var attacks = []attack{
	{name: "error", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return errors.New(text)
	}},
	{name: "panic text", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error { panic(text) }},
	{name: "panic error", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		panic(fmt.Errorf("wrapped: %w", errors.New(text)))
	}},
	{name: "panic made", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		panic(connect.NewError(connect.CodeNotFound, text))
	}},
	{name: "panic stringer", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		panic(stringer{text})
	}},
	{name: "panic grumpy", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		panic(grumpy{text})
	}},
	{name: "grumpy", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return grumpy{text}
	}},
	{name: "around a made one", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return fmt.Errorf("%s: %w", text, connect.NewError(connect.CodeNotFound, "not here"))
	}},
	{name: "cause", do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return connect.NewError(connect.CodeUnavailable, "later").WithCause(errors.New(text))
	}},
	{name: "joined", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return errors.Join(errors.New(text), connect.NewError(connect.CodeNotFound, text).WithRemote(), connect.NewError(connect.CodeNotFound, "not here"))
	}},
	{name: "made then joined", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return errors.Join(connect.NewError(connect.CodeNotFound, "not here"), connect.NewError(connect.CodeNotFound, text).WithRemote())
	}},
	{name: "remote", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return connect.NewError(connect.CodeNotFound, text).WithDetail(interceptor.ResourceInfo(text, text, text)).WithRemote()
	}},
	{name: "no code", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return connect.NewError(77, text).WithDetail(interceptor.ErrorInfo(text, text, nil))
	}},
	{name: "canceled", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return fmt.Errorf("%s: %w", text, context.Canceled)
	}},
	{name: "deadline", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return fmt.Errorf("%s: %w", text, context.DeadlineExceeded)
	}},
	{name: "table", naive: true, do: func(_ context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		return fmt.Errorf("%s: %w", text, errKnown)
	}},
	{name: "ended", do: func(ctx context.Context, _ connect.Spec, _ connect.ServerStream, text string) error {
		connectum.End(ctx, connect.NewError(connect.CodeAborted, "enough").WithCause(errors.New(text)))
		return errors.New(text)
	}},
	{name: "later error", naive: true, streams: true, do: func(_ context.Context, spec connect.Spec, stream connect.ServerStream, text string) error {
		if err := stream.Send(response(spec.StreamType, "one")); err != nil {
			return err
		}
		return errors.New(text)
	}},
	{name: "later panic", streams: true, do: func(_ context.Context, spec connect.Spec, stream connect.ServerStream, text string) error {
		if err := stream.Send(response(spec.StreamType, "one")); err != nil {
			return err
		}
		panic(text)
	}},
	{name: "response that can't be encoded", do: func(_ context.Context, spec connect.Spec, stream connect.ServerStream, text string) error {
		return stream.Send(response(spec.StreamType, text+"\xff"))
	}},
	{name: "response that breaks a rule", do: func(_ context.Context, spec connect.Spec, stream connect.ServerStream, text string) error {
		return stream.Send(response(spec.StreamType, text+strings.Repeat("x", 65)))
	}},
	{name: "response of another type", do: func(_ context.Context, _ connect.Spec, stream connect.ServerStream, text string) error {
		return stream.Send(text)
	}},
	{name: "interceptor", do: nil}, // done by the innermost link
	{name: "downstream", naive: true, do: nil},
}

// thrower is a server that is attacked by its own handlers, and its doors.
type thrower struct {
	mu    sync.Mutex
	texts map[string]string // by name of request
	next  int
	doors []thrownDoor
}

type thrownDoor struct {
	name   string
	half   bool
	client *connect.Client
	seen   *recording
}

// newThrower starts a server with these links, and the one it calls.
func newThrower(t testing.TB, links ...connectum.Interceptor) *thrower {
	th := &thrower{texts: map[string]string{}}
	quiet := slog.New(slog.DiscardHandler)
	// What the downstream server tells is its business; here it tells all.
	down := connectum.New(connectum.Config{Logger: quiet})
	connectumtest.Script{"*": func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		info, _ := connect.CallInfoForServerContext(ctx)
		info.ResponseHeader().Set("Secret", marker)
		info.ResponseTrailer().Set("Secret", marker)
		return connect.NewError(connect.CodeDataLoss, marker).WithDetail(interceptor.ResourceInfo(marker, marker, marker))
	}}.Register(down.RPC(), rulesService)
	peer := connectumtest.Start(t, down).GRPC()

	innermost := connectum.Wrap("thrower", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			info, _ := connect.CallInfoForServerContext(ctx)
			if name := info.RequestHeader().Get("Attack"); name == "interceptor" {
				panic(th.text(info.RequestHeader().Get("Text")))
			}
			return next(ctx, spec, stream)
		}
	})
	srv := connectum.New(connectum.Config{Logger: quiet, Interceptors: append(links, innermost)})
	connectumtest.Script{"*": func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if err := readFirst(ctx, spec, stream); err != nil {
			return err
		}
		info, _ := connect.CallInfoForServerContext(ctx)
		name, text := info.RequestHeader().Get("Attack"), th.text(info.RequestHeader().Get("Text"))
		if name == "downstream" {
			_, err := call(ctx, peer, connect.StreamTypeUnary, "a")
			return err
		}
		for _, a := range attacks {
			if a.name == name {
				return a.do(ctx, spec, stream, text)
			}
		}
		return connect.Errorf(connect.CodeUnimplemented, "no attack %q", name)
	}}.Register(srv.RPC(), rulesService)

	run := connectumtest.Start(t, srv)
	h1, h2 := run.HTTP1(), run.HTTP2()
	for _, d := range []struct {
		name string
		http *http.Client
		opts []connecthttp.Option
	}{
		{"connect json http1", h1, []connecthttp.Option{connecthttp.WithProtoJSON()}}, {"connect proto http1", h1, nil},
		{"connect proto h2c", h2, nil}, {"grpcweb http1", h1, []connecthttp.Option{connecthttp.WithGRPCWeb()}},
		{"grpcweb h2c", h2, []connecthttp.Option{connecthttp.WithGRPCWeb()}}, {"grpc h2c", h2, []connecthttp.Option{connecthttp.WithGRPC()}},
	} {
		seen := &recording{next: d.http.Transport}
		client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: seen}, run.URL(), d.opts...))
		th.doors = append(th.doors, thrownDoor{d.name, d.http == h1, client, seen})
	}
	th.doors = append(th.doors, thrownDoor{"in-process", false, connect.NewClient(srv.Transport()), new(recording)})
	return th
}

// keep keeps text for the handler, which must not get it by the wire.
func (th *thrower) keep(text string) string {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.next++
	name := fmt.Sprintf("text-%d", th.next)
	th.texts[name] = text
	return name
}

func (th *thrower) text(name string) string {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.texts[name]
}

// throw makes one attack and returns where the marker was seen by the client.
func (th *thrower) throw(ctx context.Context, a attack, kind connect.StreamType, d thrownDoor, text string) (leaks []string) {
	d.seen.reset()
	ctx, info := connect.NewClientContext(ctx)
	info.RequestHeader().Set("Attack", a.name)
	info.RequestHeader().Set("Text", th.keep(text))
	texts, err := call(ctx, d.client, kind, "a")
	if err == nil {
		return []string{"the call succeeded"}
	}
	look := func(where, what string) {
		if holds([]byte(what)) {
			leaks = append(leaks, where+": "+what)
		}
	}
	look("messages", strings.Join(texts, " "))
	if err != nil {
		look("error", err.Error())
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		for _, detail := range e.Details() {
			look("detail", string(detail.Value)+string(detail.Debug))
		}
	}
	for _, h := range []*connect.Header{info.ResponseHeader(), info.ResponseTrailer()} {
		for key, values := range h.All() {
			look("header "+key, strings.Join(values, " "))
		}
	}
	look("wire", d.seen.String())
	return leaks
}

// recording keeps all that comes back: status, headers, body, trailers, each as
// it was on the wire but for HTTP/2's own compression of headers.
type recording struct {
	next http.RoundTripper
	mu   sync.Mutex
	got  bytes.Buffer
}

func (r *recording) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got.Reset()
}

func (r *recording) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

func (r *recording) write(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got.Write(p)
}

func (r *recording) headers(h http.Header) {
	for key, values := range h {
		r.write([]byte("\n" + key + ": " + strings.Join(values, ", ") + "\n"))
	}
}

func (r *recording) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	if err == nil {
		r.write([]byte(res.Status))
		r.headers(res.Header)
		res.Body = &recordedBody{res.Body, r, res}
	}
	return res, err
}

type recordedBody struct {
	io.ReadCloser
	to  *recording
	res *http.Response
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.to.write(p[:n])
	if err != nil {
		b.to.headers(b.res.Trailer)
	}
	return n, err
}

// holds reports whether data has the marker in it, as it is or in base64.
func holds(data []byte) bool {
	for _, form := range forms {
		if bytes.Contains(data, form) {
			return true
		}
	}
	return false
}

// forms are the marker, and what base64 makes of it at each of three offsets.
var forms = func() [][]byte {
	out := [][]byte{[]byte(marker)}
	for offset := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), marker...))
		out = append(out, []byte(text[offset+2:len(text)-2]))
	}
	return out
}()

func guarded() []connectum.Interceptor {
	quiet := slog.New(slog.DiscardHandler)
	return interceptor.Defaults(interceptor.Config{
		Logger: quiet, Log: &interceptor.LogConfig{Messages: true}, Validation: validate.Config{Responses: true},
		Errors: interceptor.ErrorsConfig{Table: []interceptor.ErrorRule{interceptor.ErrorIs(errKnown, connect.CodeAborted, "known")}},
	})
}

// naive is what servers without a guard do: they tell clients what went wrong.
func naive() connectum.Interceptor {
	return connectum.Wrap("naive", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
			if err := next(ctx, spec, stream); err != nil {
				return connect.NewError(connect.CodeUnknown, err.Error()).WithDetail(interceptor.ErrorInfo("NAIVE", "test", map[string]string{"why": err.Error()}))
			}
			return nil
		}
	})
}

func eachThrow(th *thrower, f func(a attack, kind connect.StreamType, d thrownDoor)) {
	for _, d := range th.doors {
		for kind := range kinds {
			if d.half && kind == connect.StreamTypeBidi {
				continue
			}
			for _, a := range attacks {
				if !a.streams || kind&connect.StreamTypeServer != 0 {
					f(a, kind, d)
				}
			}
		}
	}
}

// Behaviours 81 and 82: no secret in an error, a panic or a peer's error gets
// out, at any boundary, with the chain and with the guard alone.
func TestNoSecretReachesTheWire(t *testing.T) {
	t.Parallel()
	for name, links := range map[string][]connectum.Interceptor{"chain": guarded(), "guard alone": nil} {
		th := newThrower(t, links...)
		n := 0
		eachThrow(th, func(a attack, kind connect.StreamType, d thrownDoor) {
			if name == "guard alone" && a.name == "response that breaks a rule" {
				return // that is for validation
			}
			n++
			if d.name == "in-process" && a.name == "response that can't be encoded" {
				return // nothing is encoded
			}
			for _, leak := range th.throw(t.Context(), a, kind, d, "before "+marker+" after") {
				t.Errorf("%s, %s, %v, %s: %s", name, d.name, kind, a.name, leak)
			}
		})
		t.Logf("%s: %d throws", name, n)
	}
}

// The control: without the guard's care the same attacks are seen on the wire,
// behind every door and in every kind of call.
func TestANaiveServerLeaks(t *testing.T) {
	t.Parallel()
	th := newThrower(t, naive())
	eachThrow(th, func(a attack, kind connect.StreamType, d thrownDoor) {
		if !a.naive {
			return
		}
		leaks := th.throw(t.Context(), a, kind, d, "before "+marker+" after")
		wire := d.name == "in-process"
		for _, leak := range leaks {
			wire = wire || strings.HasPrefix(leak, "wire")
		}
		if len(leaks) < 2 || !wire {
			t.Errorf("%s, %v, %s: nothing was seen, so the test above proves nothing: %q", d.name, kind, a.name, leaks)
		}
	})
}

// Secrets in requests that break rules stay there as well: package validate
// proves it for each rule, this for the chain.
func TestRefusalsOfTheChainTellNoSecret(t *testing.T) {
	t.Parallel()
	th := newThrower(t, guarded()...)
	for _, d := range th.doors {
		d.seen.reset()
		err := d.client.CallUnary(t.Context(), specOf(method("Vault")), &rulesv1.VaultRequest{Password: "plain" + marker, Keys: map[string]string{marker: ""}}, new(rulesv1.VaultResponse))
		connectumtest.WantError(t, err, connect.CodeInvalidArgument)
		if holds([]byte(d.seen.String() + err.Error())) {
			t.Errorf("%s: %v\n%s", d.name, err, d.seen)
		}
	}
}

func FuzzSecretsStayInside(f *testing.F) {
	for n := range attacks {
		f.Add(uint8(n), uint8(n), uint8(n), "before ", " after")
		f.Add(uint8(n), uint8(n+1), uint8(n+2), "\x00\xff%0a", strings.Repeat("x", 70))
	}
	th := newThrower(f, guarded()...)
	f.Fuzz(func(t *testing.T, what, kind, door uint8, before, after string) {
		a := attacks[int(what)%len(attacks)]
		d := th.doors[int(door)%len(th.doors)]
		k := connect.StreamType(kind % 4)
		if d.half && k == connect.StreamTypeBidi || a.streams && k&connect.StreamTypeServer == 0 || d.name == "in-process" && strings.HasPrefix(a.name, "response that can't") {
			return
		}
		for _, leak := range th.throw(t.Context(), a, k, d, before+marker+after) {
			t.Errorf("%s, %v, %s: %s", d.name, k, a.name, leak)
		}
	})
}
