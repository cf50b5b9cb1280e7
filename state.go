package connectum

import (
	"context"
	"net"
)

// State is where a server is in its life. It only moves forward.
type State int

// The states of a server, in their order.
const (
	StateCreated  State = iota // New has returned
	StateStarting              // Run has begun: the OnStart hooks run
	StateRunning               // calls are accepted
	StateStopping              // the stop has begun; calls are still accepted until they have drained
	StateStopped               // Run is about to return, or has
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case StateCreated:
		return "created"
	case StateStarting:
		return "starting"
	case StateRunning:
		return "running"
	case StateStopping:
		return "stopping"
	case StateStopped:
		return "stopped"
	}
	return "unknown"
}

// State returns where the server is in its life.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Addr returns the address the server listens on, with the port that was
// picked for port 0, or nil before it listens.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// OnStart registers f to run before the server listens; they run one after the
// other. An error, or a panic, aborts the start. The context ends when a stop
// is asked for meanwhile.
func (s *Server) OnStart(f func(context.Context) error) { s.onStart = append(s.onStart, f) }

// OnReady registers f to run when the server has begun to accept calls, with
// the address it listens on. They run beside each other and the server, so they
// may stay until the context ends, which it does when the stop begins. A panic
// is logged.
func (s *Server) OnReady(f func(ctx context.Context, addr net.Addr)) {
	s.onReady = append(s.onReady, f)
}

// OnStopping registers f to run when the stop begins. They run one after the
// other beside the stop; the shutdown hooks wait for them, but not for one that
// hangs. A panic is logged.
func (s *Server) OnStopping(f func()) { s.onStop = append(s.onStop, f) }

type serverKey struct{}

// Draining returns a channel that is closed when the server begins to drain:
// a handler that streams for long should then finish by itself, within
// Shutdown.StreamGrace. It is nil, and so never ready, when ctx does not come
// from a [Server].
func Draining(ctx context.Context) <-chan struct{} {
	if s, ok := ctx.Value(serverKey{}).(*Server); ok {
		return s.draining
	}
	return nil
}

type adminKey struct{}

// FromAdmin reports whether the request or call whose context ctx is came over
// AdminAddr, where operators are told more than strangers. The in-process door
// is not AdminAddr; see [DoorOf].
func FromAdmin(ctx context.Context) bool {
	from, _ := ctx.Value(adminKey{}).(bool)
	return from
}
