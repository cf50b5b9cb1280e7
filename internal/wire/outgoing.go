package wire

// outgoing follows the frames net/http writes and knows where one of ours may
// stand between them.
type outgoing struct {
	scanner
	begun    bool // the first frame, SETTINGS, has come (RFC 9113, section 3.4)
	answered bool // so has a HEADERS frame
	leaving  bool // so has a GOAWAY frame
	pings    int64
	open     bool // inside a header block, where nothing may stand (section 4.3)
}

// legal reports whether a frame may be inserted here.
func (o *outgoing) legal() bool { return o.begun && o.between() && !o.open }

// follow takes all of p, and tells sent what a client will answer.
func (o *outgoing) follow(p []byte, sent *sentData) {
	for len(p) > 0 {
		n, ok := o.next(p)
		p = p[n:]
		if ok {
			o.frame(sent)
		}
	}
}

// until returns how many bytes of p lead to the next point where a frame may be
// inserted: all of them if there is none in p, and at least one.
func (o outgoing) until(p []byte) int {
	for at := 0; ; {
		step := o.left // a frame ends with its payload, before the next header
		if step == 0 {
			step = headerBytes - o.have
		}
		n, ok := o.next(p[at:min(at+step, len(p))])
		at += n
		if ok {
			o.frame(nil)
		}
		if at == len(p) || o.legal() {
			return at
		}
	}
}

func (o *outgoing) frame(sent *sentData) {
	o.begun = true
	switch o.kind() {
	case frameHeaders:
		o.answered = true
		o.open = !o.has(flagEndHeaders)
	case framePush, frameContinuation:
		o.open = !o.has(flagEndHeaders)
	case frameGoAway:
		o.leaving = true
	}
	if sent == nil {
		return
	}
	switch o.kind() {
	case frameHeaders:
		sent.note(0)
	case frameData:
		sent.note(2 + o.left/512)
	case framePing:
		if !o.has(flagAck) {
			o.ping(sent)
		}
	}
}

// ping counts a PING. The client acknowledges each in its turn, and the first one
// behind a GOAWAY when it has read that.
func (o *outgoing) ping(sent *sentData) {
	if o.pings++; o.leaving {
		sent.asked.CompareAndSwap(0, o.pings)
	}
}

// note makes one more PING of the client free, and n WINDOW_UPDATEs.
func (s *sentData) note(n int) {
	if s.pings.Load() < freePings {
		s.pings.Add(1)
	}
	if n > 0 {
		s.windows.Add(int64(n))
	}
}

// freePing takes a free PING, if there is one. The reader alone calls it.
func (s *sentData) freePing() bool {
	if s.pings.Load() <= 0 {
		return false
	}
	s.pings.Add(-1)
	return true
}
