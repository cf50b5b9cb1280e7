package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// rig is a meter whose clock stands still unless it is moved.
type rig struct {
	*meter
	time time.Time
}

func newRig(limits Meter) *rig {
	r := &rig{time: time.Unix(1e9, 0)}
	r.meter = newMeter(limits, func() time.Time { return r.time }, new(sentData), new(atomic.Uint32))
	return r
}

// run shows n frames to the meter and returns how many it took to trip it, or n.
func (r *rig) run(n int, frame func(i int) []byte) int {
	for i := range n {
		if r.see(frame(i)) != nil {
			return i + 1
		}
	}
	return n
}

func bare(kind, flags byte, stream uint32, payload ...byte) []byte {
	n := len(payload)
	p := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(p, payload...)
}

func always(p []byte) func(int) []byte { return func(int) []byte { return p } }

func begin(i int) []byte { return bare(frameHeaders, flagEndHeaders, uint32(2*i+1)) }
func reset(i int) []byte { return bare(frameReset, 0, uint32(2*i+1), 0, 0, 0, 8) }

func TestEachKindHasItsLimit(t *testing.T) {
	t.Parallel()
	d := DefaultMeter()
	for name, test := range map[string]struct {
		frame []byte
		want  int
	}{
		"PING":                              {bare(framePing, 0, 0, make([]byte, 8)...), d.Pings + 1},
		"PING ACK":                          {bare(framePing, flagAck, 0, make([]byte, 8)...), 5000},
		"SETTINGS":                          {bare(frameSettings, 0, 0), d.Settings + 1},
		"SETTINGS ACK":                      {bare(frameSettings, flagAck, 0), 5000},
		"RST_STREAM":                        {bare(frameReset, 0, 1, 0, 0, 0, 8), d.Resets + 1},
		"WINDOW_UPDATE":                     {bare(frameWindow, 0, 0, 0, 0, 0, 1), d.Windows + 1},
		"PRIORITY":                          {bare(framePriority, 0, 1, 0, 0, 0, 0, 0), d.Empty + 1},
		"unknown":                           {bare(0xee, 0, 0), d.Empty + 1},
		"empty DATA":                        {bare(frameData, 0, 1), d.Empty + 1},
		"padded empty DATA":                 {bare(frameData, flagPadded, 1, 3, 0, 0, 0), d.Empty + 1},
		"padded DATA":                       {bare(frameData, flagPadded, 1, 2, 0, 0, 0), 5000},
		"DATA":                              {bare(frameData, 0, 1, 0), 5000},
		"CONTINUATION":                      {bare(frameContinuation, 0, 1, 0), d.Continuations + 1},
		"empty CONTINUATION":                {bare(frameContinuation, 0, 1), d.Continuations + 1},
		"HEADERS of one stream":             {bare(frameHeaders, flagEndHeaders, 1), d.Empty + 5}, // one begins it, one ends it, two are free
		"empty DATA at the end of a stream": {bare(frameData, flagEndStream, 1), d.Empty + 1},
		"DATA at the end of a stream":       {bare(frameData, flagEndStream, 1, 0), d.Empty + 1},
	} {
		if got := newRig(d).run(5000, always(test.frame)); got != test.want {
			t.Errorf("%s: cut at %d, want %d", name, got, test.want)
		}
		if got := newRig(Meter{}).run(5000, always(test.frame)); got != 5000 {
			t.Errorf("%s: cut at %d without limits", name, got)
		}
	}
}

// Each stream may end once, by DATA or by trailers, however many do so at a time
// and however long they have lived.
func TestStreamsMayEndTogether(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(i int) []byte{
		"DATA":     func(i int) []byte { return bare(frameData, flagEndStream, uint32(2*i+1)) },
		"trailers": func(i int) []byte { return bare(frameHeaders, flagEndStream|flagEndHeaders, uint32(2*i+1)) },
	} {
		const streams = 5000
		r := newRig(DefaultMeter())
		if got := r.run(streams, begin); got != streams {
			t.Errorf("%s: cut at stream %d", name, got)
		}
		r.time = r.time.Add(time.Hour)
		if got := r.run(streams, end); got != streams {
			t.Errorf("%s: cut at the end of stream %d", name, got)
		}
		r.time = r.time.Add(time.Hour)
		if got, want := r.run(streams, end), 2*(DefaultMeter().Empty+1); got > want { // a new second begins above the limit
			t.Errorf("%s: cut after %d second ends, want %d at most", name, got, want)
		}
	}
}

func TestLimitsAreBySecond(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	got := r.run(5000, func(int) []byte {
		r.time = r.time.Add(time.Second / 18)
		return bare(framePing, 0, 0, make([]byte, 8)...)
	})
	if got != 5000 {
		t.Errorf("cut at %d", got)
	}
}

func TestAPingAfterServerDataIsFree(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	got := r.run(5000, func(int) []byte {
		r.sent.note(0)
		return bare(framePing, 0, 0, make([]byte, 8)...)
	})
	if got != 5000 {
		t.Errorf("cut at %d", got)
	}
}

// One write of the server may hold many frames. A client that pings at each, when
// the answer to its last PING has come, does so without another write between.
func TestAPingForEachFrameOfAWriteIsFree(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	got := r.run(5000, func(i int) []byte {
		if i%500 == 0 {
			for range 500 {
				r.sent.note(2)
			}
		}
		return bare(framePing, 0, 0, make([]byte, 8)...)
	})
	if got != 5000 {
		t.Errorf("cut at %d", got)
	}
	for range 100_000 { // but no hoard
		r.sent.note(2)
	}
	if got, want := r.run(5000, func(int) []byte { return bare(framePing, 0, 0, make([]byte, 8)...) }), freePings+r.meter.limits.Pings+1; got != want {
		t.Errorf("after a long download cut at %d, want %d", got, want)
	}
}

func TestResetsCountOnlyAboveHalfOfTheStreams(t *testing.T) {
	t.Parallel()
	for of, want := range map[int]int{1: 201, 2: 5000, 3: 5000} { // one of so many is reset
		resets := 0
		got := newRig(DefaultMeter()).run(5000, func(i int) []byte {
			p := begin(i)
			if i%of == of-1 {
				resets++
				p = append(p, reset(i)...)
			}
			return p
		})
		if got != want {
			t.Errorf("one of %d: cut at %d, want %d", of, got, want)
		}
	}
}

func TestManyOldStreamsMayBeEndedAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	r.run(1000, begin)
	r.time = r.time.Add(time.Hour)
	if got := r.run(1000, reset); got != 1000 {
		t.Errorf("cut at %d", got)
	}
	if got := r.run(1000, func(i int) []byte { return append(begin(1000+i), reset(1000+i)...) }); got > 600 {
		t.Errorf("after that a rapid reset is cut only at %d", got)
	}
}

// Streams that were begun long ago are no hoard of resets either.
func TestAnHonestPastBuysFewResets(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	n := 0
	for range 100 {
		r.run(1000, func(int) []byte { n++; return begin(n) })
		r.time = r.time.Add(time.Hour)
		r.run(DefaultMeter().Resets+1, func(i int) []byte { return reset(n - i) }) // which makes it a new second
	}
	got := r.run(5000, func(int) []byte { n++; return append(begin(n), reset(n)...) })
	if most := 2*carryMax + DefaultMeter().Resets; got > most {
		t.Errorf("a rapid reset is cut only at %d, want %d at most", got, most)
	}
}

func TestWindowUpdatesAreAllowedForDataSent(t *testing.T) {
	t.Parallel()
	r := newRig(DefaultMeter())
	got := r.run(20000, func(i int) []byte {
		if i%2 == 0 {
			r.sent.note(2)
		}
		return bare(frameWindow, 0, 0, 0, 0, 0, 1)
	})
	if got != 20000 {
		t.Errorf("cut at %d", got)
	}
}

// What DATA of one second allows is not saved up for another.
func TestDataSentLongAgoAllowsNoWindowUpdates(t *testing.T) {
	t.Parallel()
	update := bare(frameWindow, 0, 0, 0, 0, 0, 1)
	r := newRig(DefaultMeter())
	for range 10_000 {
		r.sent.note(2)
	}
	r.run(r.meter.limits.Windows+1, always(update)) // the meter looks at what was sent
	for range 3 {
		r.time = r.time.Add(time.Hour)
		r.run(r.meter.limits.Windows+1, always(update)) // a new second begins above the limit
	}
	if got, most := r.run(20_000, always(update)), 2*(r.meter.limits.Windows+1); got > most {
		t.Errorf("cut at %d, want %d at most", got, most)
	}
}

// verdict returns where in p the meter trips, in frames, when p is cut at random.
func verdict(p []byte, cuts *rand.Rand) (error, uint32) { //nolint:staticcheck // the verdict first, then where
	r := newRig(Meter{Resets: 3, Pings: 2, Settings: 2, Empty: 3, Windows: 3, Continuations: 2})
	for len(p) > 0 {
		k := len(p)
		if cuts != nil {
			k = 1 + cuts.IntN(min(len(p), 20))
		}
		if err := r.see(p[:k]); err != nil {
			return err, r.last.Load()
		}
		p = p[k:]
	}
	return nil, r.last.Load()
}

func FuzzMeter(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add(bytes.Repeat(bare(framePing, 0, 0, make([]byte, 8)...), 4), uint64(2))
	f.Add(bytes.Repeat(append(begin(0), reset(0)...), 5), uint64(3))
	f.Add(bytes.Repeat(bare(frameData, flagPadded, 1, 3, 0, 0, 0), 5), uint64(4))
	f.Add(bytes.Repeat(bare(frameContinuation, 0, 1), 5), uint64(5))
	f.Add(append(bare(frameData, 0, 1, make([]byte, 300)...), bytes.Repeat(bare(frameSettings, 0, 0), 5)...), uint64(6))
	f.Add([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 7}, uint64(7))
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		whole, last := verdict(p, nil)
		for i := range uint64(3) {
			cut, cutLast := verdict(p, rand.New(rand.NewPCG(seed, i)))
			if (whole == nil) != (cut == nil) || whole != nil && whole.Error() != cut.Error() || last != cutLast {
				t.Fatalf("whole: %v, %d; cut: %v, %d", whole, last, cut, cutLast)
			}
		}
		if whole != nil && !errors.Is(whole, ErrFlood) {
			t.Fatal(whole)
		}
	})
}
