package connectum

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// oneRequest is how soon after a signal another says the same. One stop often
// comes as two: timeout(1) signals its command and then its process group, and
// a wrapper passes on a Ctrl-C that the terminal has sent to all, both within
// microseconds to a few milliseconds. Whoever loses patience has read the log.
const oneRequest = 250 * time.Millisecond

// Main runs s until SIGINT or SIGTERM and exits: with 0 after a clean stop,
// with 1 when the start, the stop or a hook failed, or calls were cut. A second
// signal ends the wait for calls at once, and hooks get 1 s; a third exits on
// the spot, with 1. Signals within 250 ms are one, as timeout(1) and wrappers
// of programs send them. A signal during the start ends it cleanly. A log that
// nobody reads holds none of it up for longer than a second.
//
// Main is the only part of this package that touches signals or exits.
func Main(s *Server) {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(runUntil(s, s.Run, signals, os.Exit))
}

// runUntil is Main without the process.
func runUntil(s *Server, run func(context.Context) error, signals <-chan os.Signal, exit func(int)) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	again := make(chan bool, 1)
	go func() {
		var counted time.Time
		for n := 0; ; {
			select {
			case sig := <-signals:
				now := time.Now()
				if n > 0 && now.Sub(counted) < oneRequest {
					continue
				}
				counted = now
				n++
				s.stopWaitingForLog()
				s.log().Info("signal received", "signal", sig.String(), "count", n)
				switch n {
				case 1:
					cancel()
				case 2:
					again <- true
					s.force()
				default:
					exit(1)
				}
			case <-over:
				return
			}
		}
	}()
	if err := run(ctx); err != nil {
		s.log().Error("server ended", "error", err)
		return 1
	}
	select {
	case <-again:
		return 1
	default:
		return 0
	}
}
