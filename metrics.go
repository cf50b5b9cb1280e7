package connectum

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Sample is one measurement of a server, taken when it is asked for.
type Sample struct {
	// Name is in the style of Prometheus: lower case, a unit, "_total" for
	// counters.
	Name string
	// Help is one sentence.
	Help string
	// Counter tells a value that only grows from one that goes up and down.
	Counter bool
	// Labels are few and their values bounded: never what a client sent.
	Labels []Label
	Value  float64
}

// Label is one dimension of a [Sample].
type Label struct{ Name, Value string }

// counters counts what has happened to the server. All of it is in Metrics.
type counters struct {
	panics, masked, refused, overdue, stalled, reloadFailures, reloads atomic.Int64
}

// Metrics yields the present measurements of the server, then what
// [Server.AddMetrics] added, in a fixed order.
func (s *Server) Metrics() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		gauge := func(name, help string, v float64, labels ...Label) bool {
			return yield(Sample{Name: name, Help: help, Labels: labels, Value: v})
		}
		count := func(name, help string, v *atomic.Int64) bool {
			return yield(Sample{Name: name, Help: help, Counter: true, Value: float64(v.Load())})
		}
		state := s.State()
		ok := gauge("connectum_calls_in_flight", "Calls in flight, without infrastructure.", float64(s.InFlight())) &&
			gauge("connectum_server_ready", "1 while the server is running and not stopping.", bit(state == StateRunning)) &&
			gauge("connectum_server_draining", "1 from the first moment of the stop.", bit(state == StateStopping)) &&
			count("connectum_panics_total", "Panics of handlers that were recovered.", &s.counters.panics) &&
			count("connectum_errors_masked_total", "Errors that were not made for clients and were kept from them.", &s.counters.masked) &&
			count("connectum_calls_refused_total", "Calls refused by a limit of the server.", &s.counters.refused) &&
			count("connectum_calls_overdue_total", "Calls that exceeded the server's own time limit.", &s.counters.overdue) &&
			count("connectum_calls_stalled_total", "Calls cut because their client stalled.", &s.counters.stalled)
		if !ok || !s.connMetrics(yield) {
			return
		}
		if t := s.tls; t != nil {
			ok := count("connectum_tls_reloads_total", "Certificates and client CAs taken over from changed files.", &s.counters.reloads) &&
				count("connectum_tls_reload_failures_total", "Changed files that were refused.", &s.counters.reloadFailures)
			if end, has := t.notAfter(); ok && has {
				ok = gauge("connectum_tls_certificate_expiry_seconds", "Seconds until the server's certificate expires.",
					time.Until(end).Seconds())
			}
			if !ok {
				return
			}
		}
		s.mu.Lock()
		gauges := s.gauges
		s.mu.Unlock()
		for _, f := range gauges {
			more := true
			f(func(sample Sample) bool { more = yield(sample); return more })
			if !more {
				return
			}
		}
	}
}

// AddMetrics adds measurements to [Server.Metrics]. f is called whenever they
// are asked for, possibly by several goroutines at once, and must not block.
func (s *Server) AddMetrics(f func(yield func(Sample) bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gauges = append(s.gauges[:len(s.gauges):len(s.gauges)], f)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// quota allows so much of something a second: ten.
type quota struct {
	mu     sync.Mutex
	second time.Time
	used   int
}

func (q *quota) allow() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); now.Sub(q.second) >= time.Second {
		q.second, q.used = now, 0
	}
	q.used++
	return q.used <= 10
}

// connMetrics yields what the wire counts.
func (s *Server) connMetrics(yield func(Sample) bool) bool {
	s.mu.Lock()
	stats := s.connStats
	s.mu.Unlock()
	if stats == nil {
		return true
	}
	now := stats()
	for _, m := range []Sample{
		{Name: "connectum_connections", Help: "Open connections.", Value: float64(now.Open)},
		{Name: "connectum_connections_idle", Help: "Open connections that carry no call.", Value: float64(now.Idle)},
		{Name: "connectum_connections_http2", Help: "Open connections that speak HTTP/2.", Value: float64(now.HTTP2)},
		{Name: "connectum_connections_accepted_total", Help: "Connections accepted.", Counter: true, Value: float64(now.Accepted)},
		{Name: "connectum_connections_refused_total", Help: "Connections refused because MaxConns were open.", Counter: true, Value: float64(now.Refused)},
		{Name: "connectum_connections_evicted_total", Help: "Idle connections closed for new ones.", Counter: true, Value: float64(now.Evicted)},
		{Name: "connectum_frame_floods_total", Help: "Connections closed because of a flood of frames.", Counter: true, Value: float64(now.Floods)},
		{Name: "connectum_tls_handshake_errors_total", Help: "TLS handshakes that failed.", Counter: true, Value: float64(now.HandshakeErrors)},
	} {
		if !yield(m) {
			return false
		}
	}
	return true
}
