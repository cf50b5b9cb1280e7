package term

import (
	"bytes"
	"io"
	"sync"
)

// Status is a line at the bottom of a terminal, below everything that is
// written through its writers; elsewhere there is none. It is safe for
// concurrent use.
type Status struct {
	io *IO

	mu    sync.Mutex // guards the below, and all writing
	line  string
	drawn bool
	open  bool // the last thing written has no line end yet
}

// NewStatus returns an empty status line on Err.
func (t *IO) NewStatus() *Status { return &Status{io: t} }

// Set replaces the line; an empty one takes it away.
func (s *Status) Set(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line
	s.erase()
	s.draw()
}

// Writer returns a writer to w that keeps the status line below. When w is a
// pipe or a file it is written to as is.
func (s *Status) Writer(w io.Writer) io.Writer { return &above{s, w} }

type above struct {
	status *Status
	w      io.Writer
}

// Write implements [io.Writer].
func (a *above) Write(p []byte) (int, error) {
	s := a.status
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	n, err := a.w.Write(p)
	if len(p) > 0 {
		s.open = !bytes.HasSuffix(p, []byte("\n"))
	}
	s.draw()
	return n, err
}

func (s *Status) erase() {
	if s.drawn {
		s.io.put("\r\x1b[K")
		s.drawn = false
	}
}

func (s *Status) draw() {
	if s.line != "" && !s.open && s.io.ErrTerminal {
		s.io.put("%s", s.line)
		s.drawn = true
	}
}
