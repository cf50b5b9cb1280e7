package fake

import (
	"math"
	"math/big"
	"reflect"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// fit turns a Go value into one of a scalar kind; ok is false when it does
// not fit.
func fit(kind protoreflect.Kind, made any) (v protoreflect.Value, ok bool) {
	rv := reflect.ValueOf(made)
	switch kind {
	case protoreflect.BoolKind:
		if rv.Kind() == reflect.Bool {
			return protoreflect.ValueOfBool(rv.Bool()), true
		}
	case protoreflect.StringKind:
		if rv.Kind() == reflect.String {
			return protoreflect.ValueOfString(rv.String()), true
		}
	case protoreflect.BytesKind:
		if b, ok := made.([]byte); ok {
			return protoreflect.ValueOfBytes(b), true
		}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		x, ok := real64(rv)
		if kind == protoreflect.FloatKind {
			return protoreflect.ValueOfFloat32(float32(x)), ok
		}
		return protoreflect.ValueOfFloat64(x), ok
	case protoreflect.MessageKind, protoreflect.GroupKind:
	default:
		n := new(big.Int)
		switch {
		case rv.CanInt():
			n.SetInt64(rv.Int())
		case rv.CanUint():
			n.SetUint64(rv.Uint())
		case rv.CanFloat() && rv.Float() == math.Trunc(rv.Float()) && math.Abs(rv.Float()) < 1<<62:
			n.SetInt64(int64(rv.Float()))
		default:
			return v, false
		}
		if full := fullSpan(kind); n.Cmp(full.lo) >= 0 && n.Cmp(full.hi) <= 0 {
			return fromWhole(kind, n), true
		}
	}
	return v, false
}

func real64(v reflect.Value) (float64, bool) {
	switch {
	case v.CanFloat():
		return v.Float(), true
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	default:
		return 0, false
	}
}
