package fake

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

const (
	patternTries = 16
	// unbounded stands for the length of x* and the like; far above any text
	// made here and small enough that sums of it fit 32 bits.
	unbounded = 1 << 28
	// longest bounds a text made from a pattern, in runes.
	longest = 1 << 16
)

// pattern makes texts that match a regular expression, by walking its syntax
// tree. What a tree cannot promise (\b, ^ in the middle) is left to chance
// and checked with the compiled expression.
type pattern struct {
	tree  *syntax.Regexp
	re    *regexp.Regexp
	sizes map[*syntax.Regexp][2]int
}

// newPattern compiles an RE2 expression, as protovalidate's pattern rule and
// CEL's matches do.
func newPattern(expr string) (*pattern, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &pattern{tree: tree, re: re, sizes: make(map[*syntax.Regexp][2]int)}, nil
}

// text makes a match of about size runes; a size below 0 leaves the length to
// chance. It returns an error when no draw matches within a bound.
func (p *pattern) text(d draw, size int) (string, error) {
	least, most := p.size(p.tree)
	if least > longest {
		return "", fmt.Errorf("pattern %q: the shortest match has %d characters, more than %d", p.re, least, longest)
	}
	for try := range patternTries {
		n := size
		if n < 0 {
			n = least + d.IntN(8+4*(try%4))
		}
		var b strings.Builder
		p.write(d, &b, p.tree, min(max(n, least), most, longest))
		if s := b.String(); p.re.MatchString(s) {
			return s, nil
		}
	}
	return "", fmt.Errorf("pattern %q: no match found in %d tries", p.re, patternTries)
}

// size gives the fewest and most runes a node can produce.
func (p *pattern) size(re *syntax.Regexp) (least, most int) {
	if s, ok := p.sizes[re]; ok {
		return s[0], s[1]
	}
	switch re.Op {
	case syntax.OpLiteral:
		least, most = len(re.Rune), len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		least, most = 1, 1
	case syntax.OpCapture:
		least, most = p.size(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			l, m := p.size(sub)
			least, most = min(least+l, unbounded), min(most+m, unbounded)
		}
	case syntax.OpAlternate:
		least = unbounded
		for _, sub := range re.Sub {
			l, m := p.size(sub)
			least, most = min(least, l), max(most, m)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		l, m := p.size(re.Sub[0])
		from, to := times(re)
		least = min(l*from, unbounded)
		switch {
		case m == 0 || to == 0:
		case to < 0 || m >= unbounded:
			most = unbounded
		default:
			most = min(m*to, unbounded)
		}
	}
	p.sizes[re] = [2]int{least, most}
	return least, most
}

// times gives how often a repetition repeats; to is -1 for no end.
func times(re *syntax.Regexp) (from, to int) {
	switch re.Op {
	case syntax.OpStar:
		return 0, -1
	case syntax.OpPlus:
		return 1, -1
	case syntax.OpQuest:
		return 0, 1
	default:
		return re.Min, re.Max
	}
}

// write writes a match of the node, as close to n runes as the node allows.
func (p *pattern) write(d draw, b *strings.Builder, re *syntax.Regexp, n int) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			b.WriteRune(fold(d, r, re.Flags))
		}
	case syntax.OpCharClass:
		b.WriteRune(member(d, re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte(anyChar[d.IntN(len(anyChar))])
	case syntax.OpCapture:
		p.write(d, b, re.Sub[0], n)
	case syntax.OpConcat:
		p.each(d, b, re.Sub, n)
	case syntax.OpAlternate:
		p.write(d, b, p.branch(d, re.Sub, n), n)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		p.repeat(d, b, re, n)
	}
}

// branch picks among the alternatives that can have n runes, else among all.
func (p *pattern) branch(d draw, subs []*syntax.Regexp, n int) *syntax.Regexp {
	var fit []*syntax.Regexp
	for _, sub := range subs {
		if least, most := p.size(sub); least <= n && n <= most {
			fit = append(fit, sub)
		}
	}
	if len(fit) == 0 {
		fit = subs
	}
	return pick(d, fit)
}

func (p *pattern) repeat(d draw, b *strings.Builder, re *syntax.Regexp, n int) {
	sub := re.Sub[0]
	least, most := p.size(sub)
	from, to := times(re)
	if to < 0 {
		to = max(from, n)
	}
	if most > 0 { // enough copies for n runes, and not more than it
		from = max(from, min(to, (n+most-1)/most))
	}
	if least > 0 {
		to = max(from, min(to, n/least))
	} else {
		to = max(from, min(to, from+4))
	}
	copies := make([]*syntax.Regexp, d.between(from, to))
	for i := range copies {
		copies[i] = sub
	}
	p.each(d, b, copies, n)
}

// each writes nodes one after another, sharing n runes out among them: every
// one gets its least, the rest is handed out by chance.
func (p *pattern) each(d draw, b *strings.Builder, subs []*syntax.Regexp, n int) {
	rest := n
	room := 0 // how much the nodes still to come can take beyond their least
	for _, sub := range subs {
		least, most := p.size(sub)
		rest -= least
		room = min(room+most-least, unbounded*2)
	}
	for _, sub := range subs {
		least, most := p.size(sub)
		room -= most - least
		extra := 0
		if rest > 0 {
			// What the others cannot take must go here.
			extra = d.between(max(0, rest-max(room, 0)), min(rest, most-least))
		}
		rest -= extra
		p.write(d, b, sub, least+extra)
	}
}

// anyChar stands for the dot: characters no reader stumbles over.
const anyChar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ "

// fold draws one of the cases of a rune where the expression ignores case.
func fold(d draw, r rune, flags syntax.Flags) rune {
	if flags&syntax.FoldCase == 0 {
		return r
	}
	for range d.IntN(3) {
		r = unicode.SimpleFold(r)
	}
	return r
}

// member draws a rune of a character class, which is given as pairs of first
// and last: letters and digits first, then printable ASCII, then anything.
func member(d draw, class []rune) rune {
	for _, liked := range [][]rune{{'0', '9', 'A', 'Z', 'a', 'z'}, {' ', '~'}, {0, 0xD7FF, 0xE000, unicode.MaxRune}} {
		var both []rune
		total := 0
		for i := 0; i < len(class); i += 2 {
			for j := 0; j < len(liked); j += 2 {
				lo, hi := max(class[i], liked[j]), min(class[i+1], liked[j+1])
				if lo <= hi {
					both = append(both, lo, hi)
					total += int(hi - lo + 1)
				}
			}
		}
		if total == 0 {
			continue
		}
		k := d.IntN(total)
		for i := 0; i < len(both); i += 2 {
			if size := int(both[i+1] - both[i] + 1); k >= size {
				k -= size
				continue
			}
			return both[i] + rune(k)
		}
	}
	return unicode.ReplacementChar // only surrogates: matches nothing
}
