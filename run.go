package connectum

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/connectum-go/connectum/internal/wire"
)

// running is what a server has while it runs.
type running struct {
	wire      *wire.Listener
	router    *router // nil without engines
	http      *http.Server
	admin     *http.Server
	cancel    context.CancelCauseFunc // ends the context of every request
	failed    chan error              // a listener that broke
	serving   sync.WaitGroup
	callbacks sync.WaitGroup // OnReady and OnStopping
	told      chan struct{}  // closed when the OnStopping callbacks have returned
	ready     context.CancelFunc
	reload    context.CancelFunc
}

// Run listens on Config.Addr and serves until ctx ends or [Server.Shutdown] is
// called; then it stops as drawn there and returns nil, or the joined errors
// of the start, the listener and the stop. It runs once: a second call fails,
// naming the state, or with ErrServerClosed after the stop.
func (s *Server) Run(ctx context.Context) error {
	return s.run(ctx, func() (net.Listener, error) {
		l, err := listen(ctx, s.given.Addr)
		if err != nil {
			return nil, fmt.Errorf("connectum: Config.Addr: %w", err)
		}
		return l, nil
	})
}

// Serve is [Server.Run] on a listener of the caller's own, which it closes.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	err := s.run(ctx, func() (net.Listener, error) { return l, nil })
	_ = l.Close()
	return err
}

func (s *Server) run(ctx context.Context, open func() (net.Listener, error)) error {
	s.mu.Lock()
	switch s.state {
	case StateCreated:
		s.state = StateStarting
		s.mu.Unlock()
	case StateStopped:
		s.mu.Unlock()
		return ErrServerClosed
	default:
		defer s.mu.Unlock()
		return fmt.Errorf("connectum: Run: the server is %s already: it runs once", s.state)
	}

	r, err := s.start(ctx, open)
	if r != nil {
		err = s.wait(ctx, r)
	}
	err = errors.Join(err, s.stop(r))

	s.mu.Lock()
	s.state, s.result = StateStopped, err
	s.mu.Unlock()
	close(s.ended)
	return err
}

// start brings the server up. On an error it leaves nothing open. It returns
// nil and no error when it was told to stop meanwhile.
func (s *Server) start(ctx context.Context, open func() (net.Listener, error)) (*running, error) {
	if err := s.freeze(); err != nil {
		return nil, err
	}
	if err := s.unregistered(); err != nil {
		return nil, err
	}
	if goOn, err := s.runOnStart(ctx); !goOn {
		return nil, err
	}
	var admin net.Listener
	if s.given.AdminAddr != "" {
		var err error
		if admin, err = listen(ctx, s.given.AdminAddr); err != nil {
			return nil, fmt.Errorf("connectum: Config.AdminAddr: %w", err)
		}
	}
	l, err := open()
	if err != nil {
		if admin != nil {
			_ = admin.Close()
		}
		return nil, err
	}

	all, err := s.listenEngines(ctx, l)
	if err != nil {
		_ = l.Close()
		if admin != nil {
			_ = admin.Close()
		}
		return nil, err
	}

	base, cancel := context.WithCancelCause(context.WithValue(context.Background(), serverKey{}, s))
	r := &running{cancel: cancel, failed: make(chan error, 2), wire: s.wired(all)}
	r.http = s.httpServer(s.door, base)
	r.http.ConnState, r.http.ConnContext = r.wire.ConnState, r.wire.ConnContext
	if len(s.engines) > 0 {
		r.router = s.newRouter(r.wire)
		r.serve(r.http, r.router)
	} else {
		r.serve(r.http, r.wire)
	}
	if admin != nil {
		trusted := context.WithValue(context.WithValue(context.Background(), serverKey{}, s), adminKey{}, true)
		r.admin = s.httpServer(s.adminHandler(), trusted)
		r.serve(r.admin, admin)
	}
	s.watch.start(s.look)
	if s.tls != nil {
		var reload context.Context
		reload, r.reload = context.WithCancel(context.Background())
		s.tls.follow(reload)
	}

	s.mu.Lock()
	s.state, s.addr = StateRunning, l.Addr()
	s.connStats, s.closeEnded = r.wire.Stats, r.wire.CloseEnded
	s.mu.Unlock()
	s.logStart(l.Addr(), admin)

	var ready context.Context
	ready, r.ready = context.WithCancel(context.WithValue(context.Background(), serverKey{}, s))
	for _, f := range s.onReady {
		r.callbacks.Go(func() { s.safely("OnReady", func() { f(ready, l.Addr()) }) })
	}
	return r, nil
}

// runOnStart runs the start hooks and reports whether to go on. A stop that is
// asked for meanwhile ends them, which is no error.
func (s *Server) runOnStart(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	for _, f := range s.onStart {
		var err error
		if !s.safely("OnStart", func() { err = f(ctx) }) {
			return false, errors.New("connectum: OnStart panicked; see the log")
		}
		if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
			return false, fmt.Errorf("connectum: OnStart: %w", err)
		}
	}
	select {
	case <-s.stopping:
		return false, nil
	default:
		return ctx.Err() == nil, nil
	}
}

// wait serves until there is a reason to stop.
func (s *Server) wait(ctx context.Context, r *running) error {
	select {
	case <-ctx.Done():
	case <-s.stopping:
	case err := <-r.failed:
		return err
	}
	return nil
}

// unregistered reports procedures that came too late to be bound.
func (s *Server) unregistered() error {
	var late []string
	for spec := range s.Procedures() {
		if s.byName[spec.Procedure] == nil {
			late = append(late, spec.Procedure)
		}
	}
	if len(late) > 0 {
		return fmt.Errorf("connectum: registered after the configuration was settled by Check, Handler or an in-process call: %s",
			strings.Join(late, ", "))
	}
	return nil
}

// serve serves l on a goroutine that [running.serving] waits for.
func (r *running) serve(srv *http.Server, l net.Listener) {
	r.serving.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.failed <- fmt.Errorf("connectum: serve %s: %w", l.Addr(), err)
		}
	})
}

func (s *Server) httpServer(h http.Handler, base context.Context) *http.Server {
	l := &s.limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // TLS ends below net/http, in the wire
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		MaxHeaderBytes:    l.MaxHeaderBytes,
		ReadHeaderTimeout: max(l.HeaderTimeout, 0),
		IdleTimeout:       max(l.IdleTimeout, 0),
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          log.New(errorLog{s}, "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          l.MaxConcurrentStreams,
			MaxReadFrameSize:              16 * kib, // smaller blocks ahead of others; RFC 9113 section 4.2
			MaxReceiveBufferPerStream:     l.StreamBuffer,
			MaxReceiveBufferPerConnection: l.ConnBuffer,
			SendPingTimeout:               max(l.PingInterval, 0),
			PingTimeout:                   max(l.PingTimeout, 0),
			WriteByteTimeout:              max(l.WriteStall, 0),
		},
	}
}

// wired puts the wire under l.
func (s *Server) wired(l net.Listener) *wire.Listener {
	cfg := wire.Config{
		HandshakeTimeout: max(s.limits.HandshakeTimeout, 0),
		MaxConns:         max(s.limits.MaxConns, 0),
		MaxAge:           max(s.limits.MaxConnectionAge, 0),
		AgeJitter:        s.limits.AgeJitter,
		Meter:            wire.DefaultMeter(),
		Batch:            true,
		GoAway:           true,
		Report:           s.report,
	}
	if s.tls != nil {
		cfg.TLS = s.tls.config()
	}
	return wire.Listen(l, cfg)
}

// adminHandler answers what belongs on the admin listener alone, and
// infrastructure.
func (s *Server) adminHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt := s.door.routes[r.URL.Path]; rt != nil && rt.proc.d.system {
			s.door.ServeHTTP(w, r)
			return
		}
		if _, pattern := s.probes.Handler(r); pattern != "" {
			s.door.ServeHTTP(w, r)
			return
		}
		defer func() {
			if thrown := recover(); thrown != nil {
				if !isAbort(thrown) {
					s.log().Error("handler of the admin listener panicked", "path", clip(r.URL.Path), "panic", clip(fmt.Sprint(thrown)))
				}
				panic(http.ErrAbortHandler)
			}
		}()
		s.admin.ServeHTTP(w, r)
	})
}

// safely runs a callback of the user's and logs its panic.
func (s *Server) safely(what string, f func()) (ok bool) {
	defer func() {
		if !ok {
			s.log().Error(what+" panicked", "panic", clip(fmt.Sprint(recover())))
		}
	}()
	f()
	return true
}

// report logs what the wire did to a peer.
func (s *Server) report(e wire.Event) {
	if s.loud.allow() {
		s.log().Warn("connection closed: "+e.Kind.String(), "peer", e.Peer.String(), "error", clip(fmt.Sprint(e.Err)))
	}
}

// errorLog takes what net/http logs of connections: it concerns one peer, and
// strangers can make as much of it as they like.
type errorLog struct{ server *Server }

func (e errorLog) Write(line []byte) (int, error) {
	if e.server.loud.allow() {
		e.server.log().Debug("net/http", "message", clip(strings.TrimSpace(string(line))))
	}
	return len(line), nil
}
