package connectum

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum/internal/coalesce"
	"github.com/connectum-go/connectum/internal/stack"
	"github.com/connectum-go/connectum/internal/wire"
)

// httpDoor serves everything that comes over net/http: a route for each
// procedure, plain HTTP beside them, and clear answers for what is unknown.
type httpDoor struct {
	server   *Server
	routes   map[string]*route       // by path
	services map[string]http.Handler // by "/pkg.Service/": methods it does not have
	errors   *connecthttp.ErrorWriter
	user     http.Handler // the routes and plain HTTP, inside the middleware

	dispatchers map[string]*dispatcher // by "/pkg.Service/", for engines
}

type route struct {
	handler http.Handler
	proc    *procedure
}

// writers are for the responses of streams.
var writers = sync.Pool{New: func() any { return new(coalesce.Writer) }}

// ServeHTTP serves one call.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case rt.proc.d.server.door.refuse(w, r):
	case rt.proc.spec.StreamType&connect.StreamTypeServer == 0:
		rt.handler.ServeHTTP(w, r)
	default:
		rt.stream(w, r)
	}
}

// stream serves a call that answers with several messages. Connect flushes each;
// those that come while a flush is under way ride along with the next.
func (rt *route) stream(w http.ResponseWriter, r *http.Request) {
	cw := writers.Get().(*coalesce.Writer)
	defer writers.Put(cw)
	cw.Reset(w)
	if rw, ok := w.(*responseWriter); ok { // not inside of middleware
		rw.coalesced, cw.Count = true, &rw.bytesOut
	} else if c := callOf(r.Context()); c != nil {
		c.coalesced, cw.Count = true, &c.bytesOut
	}
	defer cw.Abort() // for a handler that panics; nothing after Finish
	rt.handler.ServeHTTP(cw, r)
	_ = cw.Finish() // the stream is broken: there is nobody left to tell
}

// ServeHTTP is the outermost handler: it makes the call, counts it, and sees
// its end.
func (d *httpDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor > 1 { // whose goroutine is new
		stack.Grow()
	}
	c, next, request := d.take(w, r)
	d.server.enter(c)
	defer d.end(c, r)
	if d.admit(c, w, r) {
		next.ServeHTTP((*responseWriter)(c), request)
	}
}

// take makes the call of r, and tells who serves which request for it.
//
// It is apart from ServeHTTP as what it needs on the stack would otherwise stay
// there below the handlers. The stacks of HTTP/1.1 connections shrink with each
// garbage collection; calls that need more than 8 KiB pay for it afterwards.
func (d *httpDoor) take(w http.ResponseWriter, r *http.Request) (c *call, next http.Handler, request *http.Request) {
	s, rt, conn := d.server, d.routes[r.URL.Path], wire.FromContext(r.Context())
	if conn != nil && rt != nil && r.ProtoMajor == 1 && (rt.proc.d.system || len(s.given.Middleware) == 0) {
		// Nobody but Connect stands between here and the guard, which finds
		// the call by the connection: no copy, two fifths of the memory.
		c, next, request = new(call), rt, r
		conn.Serving = c
	} else {
		both := new(struct { // in one piece
			call
			request http.Request
		})
		c, next, request = &both.call, d.user, &both.request
	}
	c.server, c.door, c.base, c.w, c.conn, c.h1 = s, DoorHTTP, r.Context(), w, conn, r.ProtoMajor == 1
	if conn != nil && c.h1 {
		conn.Begun()
	}
	c.started, c.writeStall = s.watch.tick(), max(s.limits.WriteStall, 0)
	if rt != nil {
		l := &rt.proc.limits
		c.name, c.kind, c.system = rt.proc.spec.Procedure, rt.proc.spec.StreamType, rt.proc.d.system
		c.readStall, c.writeStall, c.limit = l.readStall, l.writeStall, l.timeout
		if c.system {
			next = rt
		}
	} else if _, pattern := s.probes.Handler(r); pattern != "" {
		c.name, c.system, next = pattern, true, s.probes
	} else {
		c.name = "HTTP " + clip(r.URL.Path)
		if !isStream(r) {
			c.readStall = max(s.limits.ReadStall, 0)
		}
	}
	if conn != nil {
		r.TLS = conn.TLS() // TLS ends in the wire, out of net/http's sight
	}
	c.tls = r.TLS
	if r.Body != nil && r.Body != http.NoBody {
		c.body, c.expects = r.Body, c.h1 && r.Header["Expect"] != nil
		r.Body = (*requestBody)(c)
	}
	if request != r {
		*request = *r.WithContext((*doorContext)(c)) // net/http has no other way
	}
	return c, next, request
}

// end runs when the outermost handler returns or panics.
func (d *httpDoor) end(c *call, r *http.Request) {
	thrown := recover()
	if thrown != nil && !isAbort(thrown) && !c.wrote {
		d.fail(c, r, thrown)
		thrown = nil
	} else if thrown != nil && !isAbort(thrown) {
		_ = d.server.reportPanic(c, thrown)
		thrown = http.ErrAbortHandler
	} else if thrown == nil {
		(*responseWriter)(c).begin() // an answer that net/http makes of nothing
	}
	if c.body != nil {
		r.Body = c.body // net/http looks at its own for what is left of the request
	}
	c.rest()
	c.finish()
	if c.conn != nil && c.h1 {
		c.conn.Serving = nil
	}
	d.server.leave(c)
	if thrown != nil {
		panic(thrown) // net/http cuts the stream or connection, in silence
	}
}

// fail answers for a handler of plain HTTP, or a middleware, that panicked
// before it wrote anything.
func (d *httpDoor) fail(c *call, r *http.Request, thrown any) {
	err := d.server.reportPanic(c, thrown)
	w := (*responseWriter)(c)
	clear(w.Header())
	if d.isRPC(r) {
		_ = d.errors.Write(w, r, err)
		return
	}
	http.Error(w, err.Message(), http.StatusInternalServerError)
}

// reportPanic logs what a handler threw and returns what its client may know.
func (s *Server) reportPanic(c *call, thrown any) *connect.Error {
	s.counters.panics.Add(1)
	err, id := c.internal(fmt.Errorf("panic: %v", thrown))
	attrs := []slog.Attr{slog.String("call", c.name), slog.String("error_id", id), slog.String("panic", clip(fmt.Sprint(thrown)))}
	if s.loud.allow() {
		attrs = append(attrs, slog.String("stack", string(debug.Stack())))
	}
	s.log().LogAttrs(c.logContext(), slog.LevelError, "handler panicked", attrs...)
	return err
}

// admit settles what concerns the connection, and refuses calls over one that
// has outlived the certificate it was opened with.
func (d *httpDoor) admit(c *call, w http.ResponseWriter, r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !time.Now().After(r.TLS.PeerCertificates[0].NotAfter) {
		return true
	}
	d.server.counters.refused.Add(1)
	w.Header().Set("Connection", "close")
	if d.isRPC(r) {
		_ = d.errors.Write(w, r, errExpired)
	} else {
		http.Error(w, "the client certificate has expired", http.StatusForbidden)
	}
	return false
}

// route is the innermost of the HTTP handlers: it finds who serves a path.
func (d *httpDoor) route(w http.ResponseWriter, r *http.Request) {
	if rt := d.routes[r.URL.Path]; rt != nil {
		rt.ServeHTTP(w, r)
		return
	}
	h, pattern := d.server.mux.Handler(r)
	switch {
	case pattern != "":
		d.server.mux.ServeHTTP(w, r) // sets the path values, as h alone would not
	case d.isRPC(r):
		d.unknown(w, r)
	default:
		h.ServeHTTP(w, r) // the mux's own 404 or 405
	}
}

// refuse answers requests for a procedure that Connect would take and we do not.
func (d *httpDoor) refuse(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet && !d.server.given.AllowGET {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "GET is not allowed here", http.StatusMethodNotAllowed)
		return true
	}
	if err := badTimeout(r.Header); err != nil && d.errors.IsSupported(r) {
		_ = d.errors.Write(w, r, err)
		return true
	}
	return false
}

// badTimeout refuses a timeout that is none, where Connect would answer with the
// text of strconv. Other protocols do not look at this header.
func badTimeout(h http.Header) *connect.Error {
	values := h["Connect-Timeout-Ms"]
	if len(values) == 0 || values[0] == "" || strings.HasPrefix(h.Get("Content-Type"), "application/grpc") {
		return nil
	}
	if text := values[0]; len(text) <= 10 && strings.Trim(text, "0123456789") == "" {
		return nil
	}
	return connect.NewError(connect.CodeInvalidArgument, "Connect-Timeout-Ms is not a number of at most 10 digits")
}

// unknown tells an RPC client, in its own protocol, that nobody serves what it
// calls.
func (d *httpDoor) unknown(w http.ResponseWriter, r *http.Request) {
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if h := d.services["/"+service+"/"]; h != nil && (r.ProtoMajor > 1 || !isStream(r)) {
		h.ServeHTTP(w, r)
		return
	} else if h != nil { // Connect takes it for a bidi stream, which HTTP/1.1 does not have
		_ = d.errors.Write(w, r, errNoProcedure)
		return
	}
	_ = d.errors.Write(notFound{w}, r, errNoProcedure)
}

// notFound is where Connect's unary calls of a path that nobody serves are
// answered: their error is unimplemented and their status 404, as the
// conformance suite wants it. In the other protocols the status is 200.
type notFound struct{ http.ResponseWriter }

func (w notFound) WriteHeader(status int) {
	if status == http.StatusNotImplemented {
		status = http.StatusNotFound
	}
	w.ResponseWriter.WriteHeader(status)
}

// isRPC tells calls of RPC clients from other HTTP: forms, XML and the like. A
// unary call of Connect says so in a header, or its body is of a codec of ours;
// JSON alone does not make a call: the path has to be one as only procedures have
// them.
func (d *httpDoor) isRPC(r *http.Request) bool {
	if r.Method != http.MethodPost || !d.errors.IsSupported(r) {
		return false
	}
	if isStream(r) || r.Header.Get("Connect-Protocol-Version") != "" {
		return true
	}
	codec, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/"), ";")
	if codec = strings.TrimSpace(codec); codec != "json" {
		return d.server.codecs[codec] != nil
	}
	service, method, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return ok && strings.Contains(service, ".") && method != "" && !strings.Contains(method, "/")
}

// isStream reports a request of a protocol whose messages are in envelopes. Its
// body may be silent for long when the handler is not ours.
func isStream(r *http.Request) bool {
	ct := strings.ToLower(r.Header.Get("Content-Type"))
	return strings.HasPrefix(ct, "application/grpc") || strings.HasPrefix(ct, "application/connect+")
}

// mount collects what Connect would put on a mux.
type mount map[string]http.Handler

func (m mount) Handle(pattern string, h http.Handler) { m[pattern] = h }

// newHTTPDoor mounts every procedure. A procedure that two dispatchers have is
// reported, naming both.
func (s *Server) newHTTPDoor(procedures []*procedure) *httpDoor {
	d := &httpDoor{server: s, routes: map[string]*route{}, services: map[string]http.Handler{}, dispatchers: map[string]*dispatcher{}}
	s.codecs, s.compressors = map[string]connect.Codec{}, map[string]connect.Compressor{}
	for _, c := range codecs(s.given.Codecs) {
		s.codecs[c.Name()] = c
	}
	compressors := s.newCompressors()
	for _, c := range slices.Backward(compressors) {
		s.compressors[c.Name()] = c
	}
	options := []connecthttp.Option{
		connecthttp.WithCodecs(codecs(s.given.Codecs)...),
		connecthttp.WithCompressors(compressors...),
		connecthttp.WithCompressMinBytes(max(s.limits.CompressMinBytes, 0)),
		connecthttp.WithConditionalOptions(func(spec connect.Spec) []connecthttp.Option {
			l := s.limits.resolve(spec)
			return []connecthttp.Option{connecthttp.WithReadMaxBytes(l.receive), connecthttp.WithSendMaxBytes(l.send)}
		}),
	}
	d.errors = connecthttp.NewErrorWriter(options...)
	mounts := map[*dispatcher]mount{}
	for _, disp := range s.dispatchers() {
		m := mount{}
		connecthttp.Mount(m, disp.connect, options...)
		mounts[disp] = m
		for pattern, h := range m {
			if strings.HasSuffix(pattern, "/") && d.services[pattern] == nil {
				d.services[pattern], d.dispatchers[pattern] = h, disp
			}
		}
	}
	for _, p := range procedures {
		d.routes[p.spec.Procedure] = &route{handler: mounts[p.d][p.spec.Procedure], proc: p}
	}
	d.user = http.HandlerFunc(d.route)
	for i := len(s.given.Middleware) - 1; i >= 0; i-- {
		d.user = s.given.Middleware[i](d.user)
	}
	return d
}
