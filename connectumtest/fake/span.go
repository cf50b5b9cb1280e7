package fake

import (
	"math/big"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// span is a closed range of whole numbers. Integers of every kind, and
// durations and timestamps in nanoseconds, share it: the year 9999 is
// 2.5e20 nanoseconds away, more than an int64 holds.
type span struct{ lo, hi *big.Int }

func (s span) empty() bool { return s.lo.Cmp(s.hi) > 0 }

func (s span) meet(o span) span {
	if o.lo.Cmp(s.lo) > 0 {
		s.lo = o.lo
	}
	if o.hi.Cmp(s.hi) < 0 {
		s.hi = o.hi
	}
	return s
}

// around gives the part of s that lies in the window, or, where they do not
// meet, the part of s nearest to it and at most as wide.
func (s span) around(window span) span {
	if in := s.meet(window); !in.empty() {
		return in
	}
	width := new(big.Int).Sub(window.hi, window.lo)
	if s.lo.Cmp(window.hi) > 0 {
		return s.meet(span{s.lo, new(big.Int).Add(s.lo, width)})
	}
	return s.meet(span{new(big.Int).Sub(s.hi, width), s.hi})
}

// in draws a number of the span, its ends included.
func (d draw) in(s span) *big.Int {
	n := new(big.Int).Sub(s.hi, s.lo)
	n.Add(n, big.NewInt(1))
	r := new(big.Int)
	if n.IsUint64() {
		r.SetUint64(d.Uint64N(n.Uint64()))
		return r.Add(r, s.lo)
	}
	// 64 bits more than needed, so that the remainder is even enough.
	for range n.BitLen()/64 + 2 {
		r.Lsh(r, 64).Or(r, new(big.Int).SetUint64(d.Uint64()))
	}
	return r.Mod(r, n).Add(r, s.lo)
}

// allowed reads lt, lte, gt and gte of a rules message (Int32Rules to
// TimestampRules) and gives the spans they leave of the full one. A lower
// bound above the upper bound means outside of the two (validate.proto,
// Int32Rules.gt), hence up to two spans; none when nothing fits.
func allowed(rules protoreflect.Message, full span, number func(protoreflect.Value) *big.Int) []span {
	lo, hi := full.lo, full.hi
	var low, high *big.Int // the bounds as written
	if rules != nil {
		one := big.NewInt(1)
		if v, ok := rule(rules, "gt"); ok {
			low = number(v)
			lo = new(big.Int).Add(low, one)
		} else if v, ok := rule(rules, "gte"); ok {
			low = number(v)
			lo = low
		}
		if v, ok := rule(rules, "lt"); ok {
			high = number(v)
			hi = new(big.Int).Sub(high, one)
		} else if v, ok := rule(rules, "lte"); ok {
			high = number(v)
			hi = high
		}
	}
	spans := []span{{lo, hi}}
	if low != nil && high != nil && high.Cmp(low) < 0 {
		spans = []span{{lo, full.hi}, {full.lo, hi}}
	}
	var left []span
	for _, s := range spans {
		if s = s.meet(full); !s.empty() {
			left = append(left, s)
		}
	}
	return left
}

// whole draws a number of the spans: near the window first, at the ends of
// the spans now and then, from all of them once tries have failed.
func (d draw) whole(spans []span, window span, ruled bool, try int) *big.Int {
	if len(spans) == 0 {
		return d.in(window) // nothing fits; validation says so
	}
	s := spans[0]
	for _, other := range spans[1:] {
		if !other.meet(window).empty() && (s.meet(window).empty() || d.chance(0.5)) {
			s = other
		}
	}
	if try >= 8 {
		return d.in(pick(d, spans))
	}
	near := s.around(window)
	if ruled && d.chance(0.1) {
		return pick(d, []*big.Int{near.lo, near.hi})
	}
	return d.in(near)
}

// rule gives the value of a rule by name, if it is set.
func rule(rules protoreflect.Message, name protoreflect.Name) (protoreflect.Value, bool) {
	if rules == nil {
		return protoreflect.Value{}, false
	}
	field := rules.Descriptor().Fields().ByName(name)
	if field == nil || !rules.Has(field) {
		return protoreflect.Value{}, false
	}
	return rules.Get(field), true
}

// listed draws one of a repeated rule such as in or example, if there are any.
func (d draw) listed(rules protoreflect.Message, name protoreflect.Name) (protoreflect.Value, bool) {
	v, ok := rule(rules, name)
	if !ok || v.List().Len() == 0 {
		return protoreflect.Value{}, false
	}
	return v.List().Get(d.IntN(v.List().Len())), true
}

// given answers with const, in or example. The rules call example "helpful
// guidance on how to populate the given field": every other try takes one.
func (d draw) given(rules protoreflect.Message, try int) (protoreflect.Value, bool) {
	if v, ok := rule(rules, "const"); ok {
		return v, true
	}
	if v, ok := d.listed(rules, "in"); ok {
		return v, true
	}
	if try%2 == 0 {
		return d.listed(rules, "example")
	}
	return protoreflect.Value{}, false
}
