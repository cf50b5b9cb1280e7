package fake

import (
	"bytes"
	"cmp"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// octets proposes a value for a bytes field.
func (d draw) octets(rules *validate.BytesRules, try int) protoreflect.Value {
	if rules == nil {
		return protoreflect.ValueOfBytes(d.bytes(d.between(8, 16)))
	}
	if v, ok := d.given(rules.ProtoReflect(), try); ok {
		return protoreflect.ValueOfBytes(bytes.Clone(v.Bytes()))
	}
	least := int(min(cmp.Or(rules.GetLen(), rules.GetMinLen()), noLimit))
	most := noLimit
	switch {
	case rules.HasLen():
		most = least
	case rules.HasMaxLen():
		most = int(min(rules.GetMaxLen(), noLimit))
	}
	switch {
	case rules.GetIpv4() || rules.GetIp() && d.chance(0.5):
		least, most = 4, 4
	case rules.GetIpv6() || rules.GetIp() || rules.GetUuid():
		least, most = 16, 16
	}
	n := d.between(max(least, min(8, most)), min(most, max(least, 8)+8))
	if rules.GetPattern() != "" {
		size := limits{least: least, most: most, mostBytes: noLimit}
		s := protoreflect.ValueOfString(d.matching(rules.GetPattern(), size, try))
		text := new(validate.StringRules)
		text.SetPrefix(string(rules.GetPrefix()))
		text.SetSuffix(string(rules.GetSuffix()))
		text.SetContains(string(rules.GetContains()))
		return protoreflect.ValueOfBytes([]byte(d.decorate(s.String(), text, try)))
	}
	before := bytes.Clone(rules.GetPrefix())
	if inner := rules.GetContains(); !bytes.Contains(rules.GetSuffix(), inner) {
		before = []byte(overlap(string(before), string(inner), n-len(rules.GetSuffix())))
	}
	fixed := len(before) + len(rules.GetSuffix())
	if fixed > n && fixed <= most {
		n = fixed
	}
	if fixed > n {
		return protoreflect.ValueOfBytes([]byte(overlap(string(before), string(rules.GetSuffix()), 0)))
	}
	body := append(before, d.bytes(n-fixed)...)
	return protoreflect.ValueOfBytes(append(body, rules.GetSuffix()...))
}
