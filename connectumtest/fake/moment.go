package fake

import (
	"math"
	"math/big"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// moment is a timestamp, or a duration, in nanoseconds.
type moment struct {
	nanos *big.Int
	span  bool // a duration
}

var (
	// The range of google.protobuf.Timestamp: years 1 to 9999.
	allTime = span{nanos(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), nanos(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC))}
	// The range of durations in CEL, 292 years either way; a
	// google.protobuf.Duration has 10,000.
	allDurations = span{big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)}

	recent  = years(2020, 2025)
	pending = years(2030, 2035)
	births  = years(1950, 2005)
	// Times that a rule wants after the present: far enough to stay there, so
	// that they need not follow the clock.
	future = years(2100, 2150)
)

func years(first, last int) span {
	return span{nanos(time.Date(first, 1, 1, 0, 0, 0, 0, time.UTC)), nanos(time.Date(last, 12, 31, 23, 59, 59, 0, time.UTC))}
}

func nanos(t time.Time) *big.Int {
	n := seconds(t.Unix())
	return n.Add(n, big.NewInt(int64(t.Nanosecond())))
}

func seconds(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e9)) }

// ofParts reads the seconds and nanos of a Timestamp or Duration.
func ofParts(v protoreflect.Value) *big.Int {
	msg := v.Message()
	fields := msg.Descriptor().Fields()
	n := seconds(msg.Get(fields.ByName("seconds")).Int())
	return n.Add(n, big.NewInt(msg.Get(fields.ByName("nanos")).Int()))
}

// setParts sets seconds and nanos; floor rounds seconds down, as a Timestamp
// before 1970 has it, where a Duration gives both parts its sign.
func setParts(msg protoreflect.Message, n *big.Int, floor bool) {
	var sec, rest big.Int
	if floor {
		sec.DivMod(n, big.NewInt(1e9), &rest)
	} else {
		sec.QuoRem(n, big.NewInt(1e9), &rest)
	}
	fields := msg.Descriptor().Fields()
	msg.Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(sec.Int64()))
	msg.Set(fields.ByName("nanos"), protoreflect.ValueOfInt32(int32(rest.Int64())))
}

func (m *maker) timestamp(s slot, msg protoreflect.Message, try int) {
	rules := s.typed("timestamp")
	if v, ok := m.given(rules, try); ok {
		setParts(msg, ofParts(v), true)
		return
	}
	window := recent
	if s.field != nil {
		window = timeWindow(string(s.label().Name()))
	}
	spans := allowed(rules, allTime, ofParts)
	now := nanos(time.Now())
	if v, ok := rule(rules, "gt_now"); ok && v.Bool() {
		window = future
		spans = meetAll(spans, span{new(big.Int).Add(now, seconds(1)), allTime.hi})
	}
	if v, ok := rule(rules, "lt_now"); ok && v.Bool() {
		window = recent
		spans = meetAll(spans, span{allTime.lo, new(big.Int).Sub(now, seconds(1))})
	}
	if v, ok := rule(rules, "within"); ok && try > 0 {
		// Nine tenths, since the clock runs on until the message is validated.
		reach := ofParts(v)
		reach.Div(reach.Mul(reach, big.NewInt(9)), big.NewInt(10))
		spans = meetAll(spans, span{new(big.Int).Sub(now, reach), new(big.Int).Add(now, reach)})
	}
	n := m.whole(spans, window, rules != nil, try)
	if try < 4 { // whole seconds, where the rules are that coarse
		n = new(big.Int).Mul(new(big.Int).Div(n, big.NewInt(1e9)), big.NewInt(1e9))
	}
	setParts(msg, n, true)
}

func meetAll(spans []span, with span) []span {
	var left []span
	for _, s := range spans {
		if s = s.meet(with); !s.empty() {
			left = append(left, s)
		}
	}
	return left
}

func timeWindow(name string) span {
	for _, key := range keys(name) {
		for _, part := range strings.Split(key, "_") {
			switch part {
			case "birth", "birthday", "born":
				return births
			case "expire", "expires", "expiry", "expiration", "due", "until", "deadline", "next", "end":
				return pending
			}
		}
	}
	return recent
}

func (m *maker) duration(s slot, msg protoreflect.Message, try int) {
	rules := s.typed("duration")
	if v, ok := m.given(rules, try); ok {
		setParts(msg, ofParts(v), false)
		return
	}
	hour := span{seconds(1), seconds(3600)}
	n := m.whole(allowed(rules, allDurations, ofParts), hour, rules != nil, try)
	if try < 4 {
		n = new(big.Int).Mul(new(big.Int).Quo(n, big.NewInt(1e9)), big.NewInt(1e9))
	}
	setParts(msg, n, false)
}

func setMoment(msg protoreflect.Message, m moment) bool {
	full, name := allTime, protoreflect.FullName("google.protobuf.Timestamp")
	if m.span {
		full, name = allDurations, "google.protobuf.Duration"
	}
	if msg.Descriptor().FullName() != name || m.nanos.Cmp(full.lo) < 0 || m.nanos.Cmp(full.hi) > 0 {
		return false
	}
	setParts(msg, m.nanos, !m.span)
	return true
}

// at makes a moment of a time.
func at(t time.Time) moment { return moment{nanos(t), false} }
