package connectum

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
)

// Shutdown stops the server and returns what [Server.Run] returns. It is the
// same stop as when Run's context ends, and may be called by any number of
// goroutines: there is one stop, and all get its result. When ctx ends before
// the stop does, calls that are left are cut. Before Run it makes Run return
// ErrServerClosed; all hooks run.
//
//	stop asked ─► notice        readiness falls, OnStopping; the port still serves
//	           ─► drain delay   as configured
//	           ─► ask to leave  still accepting; clients are told to take their next call elsewhere
//	           ─► tell streams  Draining closes; after StreamGrace they end as unavailable
//	           ─► wait          until nothing is in flight
//	           ─► force         at the deadline less what hooks are guaranteed:
//	                            contexts are cancelled, 1 s to answer, connections cut
//	           ─► hooks         in the order of their dependencies
//	           ─► end
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	before := s.state == StateCreated
	if before {
		s.state = StateStopped
	}
	s.mu.Unlock()
	s.ask()
	if before {
		err := s.stop(nil)
		s.mu.Lock()
		s.result = err
		s.mu.Unlock()
		close(s.ended)
		return err
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.force()
		<-s.ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

// ask begins the stop.
func (s *Server) ask() { s.asking.Do(func() { close(s.stopping) }) }

// force ends what is left of the wait.
func (s *Server) force() { s.forcing.Do(func() { close(s.forced) }) }

// The words for clients whose calls are ended by the stop.
var errStopping = connect.NewError(connect.CodeUnavailable, "the server is shutting down")

// stop runs the stop sequence; r is nil when the start failed.
func (s *Server) stop(r *running) error {
	began := time.Now()
	s.ask()
	s.mu.Lock()
	if s.state != StateStopped {
		s.state = StateStopping
	}
	s.mu.Unlock()
	plan := s.plan(began)
	s.stopWaitingForLog()
	log := s.log()
	phase := func(name string, since time.Time, attrs ...slog.Attr) {
		log.LogAttrs(context.Background(), slog.LevelInfo, "shutdown: "+name, append(attrs, slog.Duration("took", time.Since(since)))...)
	}

	var errs []error
	if r != nil {
		log.Info("shutdown: notice", "in_flight", s.InFlight(), "budget", s.shutdown.Timeout)
		r.ready()
		told := make(chan struct{})
		r.callbacks.Go(func() {
			defer close(told)
			for _, f := range s.onStop {
				s.safely("OnStopping", f)
			}
		})
		r.told = told
		if s.shutdown.DrainDelay > 0 {
			at := time.Now()
			s.sleep(s.shutdown.DrainDelay, plan.force)
			phase("drain delay", at)
		}
		errs = append(errs, s.drain(r, plan, phase))
	} else {
		close(s.draining)
		close(s.stopped)
	}
	s.watch.end()

	if r != nil {
		// A callback that hangs was told to end, and does not hold up the hooks.
		within(answerTime(s.shutdown.Timeout), r.told)
	}
	if !s.hooks.empty() {
		at := time.Now()
		deadline := plan.hooks
		if s.isForced() {
			deadline = earlier(deadline, at.Add(time.Second))
		} else if s.shutdown.NoForce {
			deadline = at.Add(s.shutdown.Timeout)
		}
		errs = append(errs, s.hooks.run(deadline, log))
		phase("hooks", at)
	}
	if r != nil {
		r.end(s)
	}
	err := errors.Join(errs...)
	if r != nil {
		phase("done", began, slog.Bool("clean", err == nil))
	}
	return err
}

// drain lets the calls in flight end, and cuts those that do not.
func (s *Server) drain(r *running, plan plan, phase func(string, time.Time, ...slog.Attr)) error {
	at := time.Now()
	s.leaving.Store(true)
	r.wire.Drain()
	close(s.draining)

	var ending sync.WaitGroup
	over := make(chan struct{})
	defer func() { close(over); ending.Wait() }()
	if s.shutdown.StreamGrace >= 0 {
		ending.Go(func() { s.endStreams(over) })
	}
	clean := s.idle(plan)
	phase("wait", at, slog.Int("in_flight", s.InFlight()))
	if clean {
		at = time.Now()
		s.linger(r, plan)
		s.endInfrastructure(plan)
		clean = s.close(r, plan)
		phase("close", at)
	}
	if !clean {
		defer close(s.stopped)
		return s.cut(r, phase)
	}
	close(s.stopped)   // now calls in-process are refused, too
	if !s.idle(plan) { // of those that came while the network's door was closed
		return s.cut(r, phase)
	}
	return nil
}

// idle waits until nothing is in flight, and reports false when something still is
// but it is time to cut.
func (s *Server) idle(plan plan) bool {
	deadline := make(<-chan time.Time)
	if !plan.force.IsZero() {
		t := time.NewTimer(time.Until(plan.force))
		defer t.Stop()
		deadline = t.C
	}
	s.flight.told.Store(true)
	for s.flight.count() > 0 {
		select {
		case <-s.flight.idle:
		case <-deadline:
			return false
		case <-s.forced:
			return false
		}
	}
	return true
}

// linger gives the clients of idle connections behind a balancer, which
// Shutdown.DrainDelay tells of, the time to use theirs once more and be told to
// leave: HTTP/1.1 has no other way (RFC 9112 section 9.6).
func (s *Server) linger(r *running, plan plan) {
	r.wire.CloseNew(idleGrace)
	r.wire.CloseIdle(10 * time.Second)
	until := time.Now().Add(min(s.shutdown.DrainDelay, 2*time.Second))
	if !plan.force.IsZero() {
		until = earlier(until, plan.force)
	}
	for time.Now().Before(until) && !s.isForced() && r.wire.Stats().Open > 0 {
		s.sleep(10*time.Millisecond, until)
	}
}

// close ends listeners and connections, gracefully while there is time. It
// reports false when calls that came last are still in flight.
func (s *Server) close(r *running, plan plan) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !plan.force.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, plan.force)
		defer cancel()
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-s.forced:
			cancel()
		case <-over:
		}
	}()
	r.wire.CloseIdle(idleGrace)
	s.settle(ctx, r)
	if r.http.Shutdown(ctx) != nil {
		if s.flight.count() > 0 {
			return false
		}
		_ = r.http.Close()
	}
	if r.router != nil && !r.router.wait(ctx) {
		if s.flight.count() > 0 {
			return false
		}
		r.router.cut()
	}
	return true
}

// settle accepts no more, and waits until every connection has brought the
// request that it may still bring, or is closed: net/http drops those that have
// sent a part of one once it shuts down. Who takes longer to send a header than
// HeaderTimeout, or to shake hands than HandshakeTimeout, is late.
func (s *Server) settle(ctx context.Context, r *running) {
	var late time.Duration
	for _, d := range []time.Duration{s.limits.HeaderTimeout, s.limits.HandshakeTimeout} {
		if d <= 0 { // none, which is not for a stop
			d = Limits{}.withDefaults().HeaderTimeout
		}
		late += d
	}
	ctx, cancel := context.WithTimeout(ctx, late)
	defer cancel()
	r.wire.Settle()
	look := time.NewTicker(settleTick)
	defer look.Stop()
	for r.wire.Waiting() > 0 || r.router != nil && r.router.unsettled.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// settleTick is how often settle looks.
const settleTick = 5 * time.Millisecond

// idleGrace is how long a connection stays open after its last answer while
// the server closes, for the answer's last bytes, and what the client has on
// its way before it reads that it is to leave.
const idleGrace = 250 * time.Millisecond

// end releases what is left of a run.
func (r *running) end(s *Server) {
	if r.reload != nil {
		r.reload()
		if !within(time.Second, s.tls.done) {
			s.log().Error("TLS: the certificates can't be read to their end, what reads them was left behind")
		}
	}
	if r.admin != nil {
		_ = r.admin.Close()
	}
	r.cancel(errStopping)
	r.serving.Wait()
	if r.router != nil {
		r.endEngines(s)
	}
	done := make(chan struct{})
	go func() { r.callbacks.Wait(); close(done) }()
	if !within(grace, done) {
		s.log().Error("OnReady or OnStopping did not end with the server and was left behind", "stacks", stacksIn(runsCallback))
	}
}

// endEngines waits for what engines still do on connections that are closed.
func (r *running) endEngines(s *Server) {
	_ = r.router.Close()
	r.router.cut()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if !r.router.wait(ctx) {
		s.log().Error("an engine did not end with its connections and was left behind")
	}
}

// sleep waits for d, or until end or force.
func (s *Server) sleep(d time.Duration, end time.Time) {
	if !end.IsZero() {
		d = min(d, time.Until(end))
	}
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.forced:
	}
}

func (s *Server) isForced() bool {
	select {
	case <-s.forced:
		return true
	default:
		return false
	}
}

// within waits for done, but no longer than d, and reports whether it came.
func within(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
