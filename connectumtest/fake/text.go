package fake

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// text proposes a value for a string field. What single rules ask is met at
// once; what they ask together is met by proposing differently with every
// try, since the validator has the last word on each proposal.
func (d draw) text(field protoreflect.FieldDescriptor, rules *validate.StringRules, try int) protoreflect.Value {
	var given protoreflect.Message
	if rules != nil {
		given = rules.ProtoReflect()
	}
	if v, ok := d.given(given, try); ok {
		return v
	}
	size := sizes(rules)
	format := wellKnown(rules)
	var s string
	switch {
	case rules.GetPattern() != "":
		s = d.matching(rules.GetPattern(), size, try)
	case format != nil:
		n := 0
		if size.ruled() && try > 0 {
			n = d.between(size.least, min(size.most, size.least+64))
		}
		s = format(d, n)
	default:
		s = d.word(field)
		return protoreflect.ValueOfString(d.shape(s, rules, size, try))
	}
	return protoreflect.ValueOfString(d.decorate(s, rules, try))
}

func (d draw) matching(expr string, size limits, try int) string {
	p, err := newPattern(expr)
	if err != nil {
		return "" // the validator reports it
	}
	n := -1
	if size.ruled() {
		n = d.between(size.least, min(size.most, size.least+64))
	}
	s, err := p.text(d, n)
	if err != nil {
		return ""
	}
	return s
}

// wellKnown finds the format a well_known rule asks for.
func wellKnown(rules *validate.StringRules) func(draw, int) string {
	if rules == nil {
		return nil
	}
	refl := rules.ProtoReflect()
	which := refl.WhichOneof(refl.Descriptor().Oneofs().ByName("well_known"))
	switch {
	case which == nil:
		return nil
	case rules.GetWellKnownRegex() == validate.KnownRegex_KNOWN_REGEX_HTTP_HEADER_NAME:
		return headerName
	case rules.GetWellKnownRegex() == validate.KnownRegex_KNOWN_REGEX_HTTP_HEADER_VALUE:
		return headerValue
	case which.Kind() == protoreflect.BoolKind && !refl.Get(which).Bool():
		return nil
	default:
		return formats[which.Name()]
	}
}

// limits are the bounds on a text: characters, and bytes of UTF-8.
type limits struct{ least, most, leastBytes, mostBytes int }

const noLimit = 1 << 30

func (l limits) ruled() bool {
	return l.least > 0 || l.most < noLimit || l.leastBytes > 0 || l.mostBytes < noLimit
}

// sizes reads len, min_len, max_len and their like in bytes. A byte limit
// narrows the characters, at one to four bytes each.
func sizes(rules *validate.StringRules) limits {
	l := limits{0, noLimit, 0, noLimit}
	if rules == nil {
		return l
	}
	l.least = int(min(cmp.Or(rules.GetLen(), rules.GetMinLen()), noLimit))
	if rules.HasLen() {
		l.most = l.least
	} else if rules.HasMaxLen() {
		l.most = int(min(rules.GetMaxLen(), noLimit))
	}
	l.leastBytes = int(min(cmp.Or(rules.GetLenBytes(), rules.GetMinBytes()), noLimit))
	if rules.HasLenBytes() {
		l.mostBytes = l.leastBytes
	} else if rules.HasMaxBytes() {
		l.mostBytes = int(min(rules.GetMaxBytes(), noLimit))
	}
	l.most = min(l.most, l.mostBytes)
	l.least = max(l.least, min((l.leastBytes+3)/4, l.most))
	if l.most >= l.leastBytes {
		l.least = max(l.least, l.leastBytes) // room enough for plain ASCII
	}
	return l
}

// shape fits a word into prefix, suffix, contains and the limits.
func (d draw) shape(s string, rules *validate.StringRules, size limits, try int) string {
	if rules == nil {
		return s
	}
	before, after := rules.GetPrefix(), rules.GetSuffix()
	if inner := rules.GetContains(); !strings.Contains(before, inner) && !strings.Contains(after, inner) {
		before = overlap(before, inner, size.most-utf8.RuneCountInString(after))
	}
	fixed := before + after
	if utf8.RuneCountInString(fixed) > size.most || len(fixed) > size.mostBytes {
		return overlap(before, after, 0)
	}
	room := size.most - utf8.RuneCountInString(fixed)
	least := size.least - utf8.RuneCountInString(fixed)
	if try%8 == 7 {
		return before + after // not_contains may leave nothing else
	}
	s = strings.TrimSpace(cut(s, min(room, size.mostBytes-len(fixed))))
	if n := utf8.RuneCountInString(s); n < least {
		if n > 0 && least-n > 1 && try < 4 {
			s += " "
		}
		s += d.filler(least - utf8.RuneCountInString(s))
	}
	if try >= 4 { // words get in the way of not_contains and the like
		s = d.letters(min(max(least, d.between(1, 12)), room), lower+digits)
	}
	return before + widen(s, size.leastBytes-len(fixed)) + after
}

// filler makes n characters of nouns.
func (d draw) filler(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(plain(d.words.Noun()))
		if b.Len() < n-1 {
			b.WriteByte(' ')
		}
	}
	return b.String()[:max(n, 0)]
}

// cut keeps the first n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n, 0)])
}

// widen replaces characters by ones of more bytes until there are n bytes:
// len: 2 with min_bytes: 8 asks for it.
func widen(s string, n int) string {
	if len(s) >= n {
		return s
	}
	runes := []rune(s)
	missing := n - len(s)
	for i := range runes {
		if missing <= 0 {
			break
		}
		wide := []rune{'é', '語', '😀'}[min(missing, 3)-1]
		missing -= utf8.RuneLen(wide) - utf8.RuneLen(runes[i])
		runes[i] = wide
	}
	return string(runes)
}

// overlap joins a and b, sharing what ends a and begins b when the plain
// join has more than most characters.
func overlap(a, b string, most int) string {
	if utf8.RuneCountInString(a)+utf8.RuneCountInString(b) <= most {
		return a + b
	}
	if strings.Contains(a, b) && most != 0 {
		return a
	}
	for i := range a {
		if strings.HasPrefix(b, a[i:]) {
			return a + b[len(a)-i:]
		}
	}
	return a + b
}

// decorate gives a text that has a form already its prefix, suffix and
// contained part, in a different way with every try.
func (d draw) decorate(s string, rules *validate.StringRules, try int) string {
	before, after, inner := rules.GetPrefix(), rules.GetSuffix(), rules.GetContains()
	if before != "" && !strings.HasPrefix(s, before) {
		switch try % 4 {
		case 0, 1:
			s = before + s
		case 2:
			s = before + s[min(len(s), len(before)):]
		default:
			s = before + d.letters(d.between(1, 8), lower)
		}
	}
	if after != "" && !strings.HasSuffix(s, after) {
		switch try / 4 % 4 {
		case 0:
			s += after
		case 1:
			s = s[:max(0, len(s)-len(after))] + after
		case 2:
			s = before + d.letters(d.between(1, 12), lower) + after
		default:
			s = strings.TrimRight(s, "/.") + "." + strings.TrimLeft(after, ".")
		}
	}
	if inner != "" && !strings.Contains(s, inner) {
		i := d.IntN(len(s) + 1)
		if try%2 == 0 {
			s = s[:i] + inner + s[i:]
		} else { // in place of as many characters
			i = d.IntN(max(1, len(s)-len(inner)+1))
			s = s[:i] + inner + s[min(len(s), i+len(inner)):]
		}
	}
	return s
}
