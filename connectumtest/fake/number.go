package fake

import (
	"math"
	"math/big"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// integer proposes a value for an integer field of any kind.
func (d draw) integer(name string, kind protoreflect.Kind, rules protoreflect.Message, try int) protoreflect.Value {
	if v, ok := d.given(rules, try); ok {
		return v
	}
	window := numberWindow(name).around(fullSpan(kind))
	spans := allowed(rules, fullSpan(kind), func(v protoreflect.Value) *big.Int {
		return toWhole(v.Interface())
	})
	return fromWhole(kind, d.whole(spans, window, rules != nil, try))
}

// fullSpan is what an integer kind can hold.
func fullSpan(kind protoreflect.Kind) span {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		return span{big.NewInt(math.MinInt32), big.NewInt(math.MaxInt32)}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return span{big.NewInt(0), big.NewInt(math.MaxUint32)}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return span{big.NewInt(0), new(big.Int).SetUint64(math.MaxUint64)}
	default:
		return span{big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)}
	}
}

func toWhole(v any) *big.Int {
	switch v := v.(type) {
	case int32:
		return big.NewInt(int64(v))
	case int64:
		return big.NewInt(v)
	case uint32:
		return big.NewInt(int64(v))
	case uint64:
		return new(big.Int).SetUint64(v)
	default:
		return new(big.Int)
	}
}

// fromWhole makes a value of an integer kind; n must fit it.
func fromWhole(kind protoreflect.Kind, n *big.Int) protoreflect.Value {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n.Int64()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n.Uint64()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n.Uint64())
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n.Int64()))
	default:
		return protoreflect.ValueOfInt64(n.Int64())
	}
}

// float proposes a value for a float or double field.
func (d draw) float(name string, kind protoreflect.Kind, rules protoreflect.Message, try int) protoreflect.Value {
	if v, ok := d.given(rules, try); ok {
		return v
	}
	single := kind == protoreflect.FloatKind
	x := d.real(name, rules, single, try)
	if single {
		return protoreflect.ValueOfFloat32(float32(x))
	}
	return protoreflect.ValueOfFloat64(x)
}

func (d draw) real(name string, rules protoreflect.Message, single bool, try int) float64 {
	limit := math.MaxFloat64
	next := math.Nextafter
	if single {
		limit = math.MaxFloat32
		next = func(x, y float64) float64 { return float64(math.Nextafter32(float32(x), float32(y))) }
	}
	lo, hi := -limit, limit
	low, high := math.Inf(-1), math.Inf(1) // the bounds as written
	if v, ok := rule(rules, "gt"); ok {
		low = v.Float()
		lo = next(low, math.Inf(1))
	} else if v, ok := rule(rules, "gte"); ok {
		low, lo = v.Float(), v.Float()
	}
	if v, ok := rule(rules, "lt"); ok {
		high = v.Float()
		hi = next(high, math.Inf(-1))
	} else if v, ok := rule(rules, "lte"); ok {
		high, hi = v.Float(), v.Float()
	}
	if high < low { // outside of the two
		if d.chance(0.5) {
			lo = -limit
		} else {
			hi = limit
		}
	}
	from, to := realWindow(name)
	switch {
	case lo <= to && from <= hi:
		from, to = max(lo, from), min(hi, to)
	case lo > to:
		from, to = lo, min(hi, lo+math.Abs(lo)+100)
	default:
		from, to = max(lo, hi-math.Abs(hi)-100), hi
	}
	if rules != nil && d.chance(0.1) {
		return pick(d, []float64{from, to})
	}
	// The conversion keeps the product from being fused into the sum.
	x := from + float64((to-from)*d.Float64())
	places := 100.0
	if to-from < 10 {
		places = 10000
	}
	if round := math.Round(x*places) / places; try < 4 && from <= round && round <= to {
		return round
	}
	return x
}
