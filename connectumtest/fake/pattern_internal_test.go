package fake

import (
	"testing"
	"unicode/utf8"
)

func TestPatternsHaveTheWantedLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr  string
		sizes []int
	}{
		{"^[a-z]+$", []int{1, 2, 17, 300}},
		{"^(ab|cde)+$", []int{2, 3, 4, 5, 11}},
		{"^a{2,4}b?(cd)*$", []int{2, 3, 4, 5, 8, 31}},
		{"^.*$", []int{0, 1, 50}},
		{"^v[0-9]+\\.[0-9]+$", []int{4, 9}},
		{"^x$", []int{1}},
	} {
		p, err := newPattern(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range c.sizes {
			found := false
			for seed := range uint64(20) { // alternatives may miss a length
				s, err := p.text(newDraw(seed, 0), size)
				if err != nil {
					t.Fatal(err)
				}
				found = found || utf8.RuneCountInString(s) == size
			}
			if !found {
				t.Errorf("%s never has %d characters", c.expr, size)
			}
		}
	}
}

func TestPatternsWithoutAMatchAreAnError(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"a^b", "$a", `[^\x00-\x{10FFFF}]`, `a\bb`} {
		p, err := newPattern(expr)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := p.text(newDraw(1, 1), -1); err == nil {
			t.Errorf("%s is matched by %q?", expr, s)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, expr := range []string{
		"", "a", "^$", "[a-z]+", "(?i)yes|no", `\bword\b`, `^\d{3}-\d{4}$`, "(a|b)*c?", "[^a]", `\p{Greek}+`, "(?s).{3}",
		"((a{1,9}){1,9}){1,9}", "(|a){500}", `\z`, "(?m)^a$", `[\x{D800}-\x{DFFF}]`, "(x*)*", "((((((((a?)+)+)+)+)+)+)+)+",
	} {
		f.Add(expr, 3, uint64(1))
	}
	f.Fuzz(func(t *testing.T, expr string, size int, seed uint64) {
		p, err := newPattern(expr)
		if err != nil {
			return
		}
		s, err := p.text(newDraw(seed, 0), size)
		if err != nil {
			return // said clearly
		}
		if !p.re.MatchString(s) || !utf8.ValidString(s) {
			t.Errorf("%q does not match %q", s, expr)
		}
	})
}
