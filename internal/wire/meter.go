package wire

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Meter bounds the HTTP/2 frames a client may send on one connection, by kind.
// A second begins with the first frame of a kind counted in it; a limit of zero
// or less is none.
type Meter struct {
	// Resets is RST_STREAM frames a second. They are held against a client only
	// if they end over half of the streams it began: one that cancels much but
	// works more is honest (CVE-2023-44487 is the one that is not).
	Resets int
	// Pings is PING frames a second, beside one for each HEADERS and DATA frame
	// sent to the client: gRPC clients size their windows with them, and may come
	// to several frames of one write one after the other. At most a thousand are
	// saved up.
	Pings int
	// Settings is SETTINGS frames a second.
	Settings int
	// Empty is frames a second that carry nothing (DATA without a byte,
	// PRIORITY, unknown types, the end or the trailers of more streams than
	// there are), beside two for each stream begun.
	Empty int
	// Windows is WINDOW_UPDATE frames a second, beside two for each stream begun
	// and two for each DATA frame sent to the client, and one per 512 bytes of it.
	Windows int
	// Continuations is CONTINUATION frames of one header block, empty or not.
	Continuations int
}

// DefaultMeter returns limits that no honest client was seen to reach.
func DefaultMeter() Meter {
	return Meter{Resets: 200, Pings: 20, Settings: 20, Empty: 200, Windows: 1000, Continuations: 8}
}

// ErrFlood is what an [Event] of kind [Flood] wraps.
var ErrFlood = errors.New("HTTP/2 frame flood")

// carryMax bounds the streams of earlier seconds that a client may still reset
// for nothing: more than it can have open at a time, in every sane setting.
const carryMax = 1000

// freePings bounds the PINGs that a client has not sent, though it could have for
// nothing: far above the frames that it has received and not looked at yet.
const freePings = 1000

// meter counts what a client sends. It belongs to the one goroutine that reads
// the connection; sent and last are shared.
type meter struct {
	scanner
	limits Meter
	now    func() time.Time

	padded int // length of a padded DATA frame whose pad length is the next byte
	blocks int // CONTINUATION frames of the present header block
	carry  int // streams of earlier seconds that may still be open
	open   int // streams that the client has begun and not ended; those it has reset count, too

	answers int // WINDOW_UPDATEs that DATA sent this second may be answered with

	resets, pings, settings, empty, windows tally

	last *atomic.Uint32 // highest stream begun
	sent *sentData
}

// tally is the frames of one kind since a moment.
type tally struct {
	n, begun int // frames, and streams begun meanwhile
	since    time.Time
}

// sentData is what the server sent that a client answers with frames of its own.
type sentData struct {
	pings   atomic.Int64 // PINGs that are free, one for each HEADERS and DATA
	windows atomic.Int64 // WINDOW_UPDATEs that the DATA since may be answered with

	asked atomic.Int64 // how many PINGs had been sent with that behind the first GOAWAY; 0: none has
	acks  atomic.Int64 // how many the client has acknowledged
}

// heeded reports whether the client has read the first GOAWAY.
func (s *sentData) heeded() bool {
	n := s.asked.Load()
	return n > 0 && s.acks.Load() >= n
}

// newMeter returns a meter for the bytes that follow the preface.
func newMeter(limits Meter, now func() time.Time, sent *sentData, last *atomic.Uint32) *meter {
	t := tally{since: now()}
	return &meter{
		limits: limits, now: now, sent: sent, last: last,
		resets: t, pings: t, settings: t, empty: t, windows: t,
	}
}

// see counts the frames whose headers end in p. Its verdict does not depend on
// how the stream is cut into calls.
func (m *meter) see(p []byte) error {
	for len(p) > 0 {
		if m.padded > 0 {
			empty := int(p[0])+1 == m.padded
			m.padded = 0
			if empty && m.over(&m.empty, m.limits.Empty, m.perStream) {
				return flood("empty DATA", m.limits.Empty)
			}
		}
		n, ok := m.next(p)
		p = p[n:]
		if ok {
			if err := m.frame(); err != nil {
				return err
			}
		}
	}
	return nil
}

// frame judges the frame whose header has just come.
func (m *meter) frame() error {
	switch m.kind() {
	case frameHeaders:
		m.blocks = 0
		id := m.stream()
		if id <= m.last.Load() { // trailers
			return m.end("HEADERS of streams that have ended")
		}
		m.last.Store(id)
		m.resets.begun++
		m.empty.begun++
		m.windows.begun++
		if !m.has(flagEndStream) {
			m.open++
		}
	case frameContinuation:
		if m.blocks++; m.limits.Continuations > 0 && m.blocks > m.limits.Continuations {
			return flood("CONTINUATION in one header block", m.limits.Continuations)
		}
	case frameReset:
		if m.over(&m.resets, m.limits.Resets, m.mostlyReset) {
			return flood("RST_STREAM", m.limits.Resets)
		}
	case framePing:
		if m.has(flagAck) {
			m.sent.acks.Add(1)
			return nil
		}
		if m.sent.freePing() {
			return nil
		}
		if m.over(&m.pings, m.limits.Pings, nil) {
			return flood("PING", m.limits.Pings)
		}
	case frameSettings:
		if !m.has(flagAck) && m.over(&m.settings, m.limits.Settings, nil) {
			return flood("SETTINGS", m.limits.Settings)
		}
	case frameWindow:
		if m.over(&m.windows, m.limits.Windows, m.unanswered) {
			return flood("WINDOW_UPDATE", m.limits.Windows)
		}
	case frameData: // with a byte it costs less than a byte of a call, also where its stream has ended
		switch {
		case m.has(flagEndStream):
			return m.end("DATA that ends a stream again")
		case m.has(flagPadded):
			m.padded = m.left
		case m.left == 0:
			if m.over(&m.empty, m.limits.Empty, m.perStream) {
				return flood("empty DATA", m.limits.Empty)
			}
		}
	case framePush, frameGoAway: // net/http ends the connection or begins to
	default: // PRIORITY, and the types to come that have to be ignored (RFC 9113, section 5.5)
		if m.over(&m.empty, m.limits.Empty, m.perStream) {
			return flood("PRIORITY or unknown", m.limits.Empty)
		}
	}
	return nil
}

// end takes a frame that may end each stream once, and costs an answer when it is
// of one that has ended.
func (m *meter) end(what string) error {
	if m.open > 0 {
		m.open--
	} else if m.over(&m.empty, m.limits.Empty, m.perStream) {
		return flood(what, m.limits.Empty)
	}
	return nil
}

// over counts one frame in t and reports whether these are too many. The clock
// is read only above the limit. guilty, if not nil, has the last word.
func (m *meter) over(t *tally, limit int, guilty func(*tally) bool) bool {
	if t.n++; limit <= 0 || t.n <= limit {
		return false
	}
	if now := m.now(); now.Sub(t.since) >= time.Second {
		m.turn(t, now)
		return false
	}
	return guilty == nil || guilty(t)
}

// turn begins a new second of t.
func (m *meter) turn(t *tally, now time.Time) {
	switch t {
	case &m.resets:
		m.carry = min(max(m.carry+t.begun-t.n, 0), carryMax)
	case &m.windows:
		m.answers = 0
	}
	*t = tally{since: now}
}

// mostlyReset reports whether over half of the streams begun were reset. Streams
// of earlier seconds count in full: ending many old ones at once is honest.
func (m *meter) mostlyReset(t *tally) bool { return 2*t.n > t.begun+2*m.carry }

func (m *meter) perStream(t *tally) bool { return t.n > m.limits.Empty+2*t.begun }

func (m *meter) unanswered(t *tally) bool {
	m.answers += int(m.sent.windows.Swap(0))
	return t.n > m.limits.Windows+2*t.begun+m.answers
}

func flood(what string, limit int) error {
	return fmt.Errorf("%w: more than %d %s frames", ErrFlood, limit, what)
}
