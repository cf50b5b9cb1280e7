package fake

import (
	"math/rand/v2"

	"github.com/brianvoe/gofakeit/v7"
)

// draw is the one source of chance of a fill: numbers and gofakeit's words
// come from the same stream, so that a seed decides everything.
//
// Only whole numbers and rand's own Float64 are drawn from it. gofakeit's
// float helpers are left alone: Go may fuse x*y+z on some processors, and
// the same seed must give the same bytes on all of them.
type draw struct {
	*rand.Rand
	words *gofakeit.Faker
}

func newDraw(seed, n uint64) draw {
	source := rand.NewPCG(seed, n)
	return draw{Rand: rand.New(source), words: gofakeit.NewFaker(source, false)}
}

// chance is true with probability p.
func (d draw) chance(p float64) bool { return d.Float64() < p }

// between draws from lo to hi, both included; hi below lo counts as lo.
func (d draw) between(lo, hi int) int {
	if hi <= lo {
		return lo
	}
	return lo + d.IntN(hi-lo+1)
}

// bytes draws n bytes.
func (d draw) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

// letters draws n runes of an ASCII alphabet.
func (d draw) letters(n int, alphabet string) string {
	b := make([]byte, max(n, 0))
	for i := range b {
		b[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(b)
}

// pick draws one of the given values, of which there must be at least one.
func pick[T any](d draw, from []T) T { return from[d.IntN(len(from))] }

const (
	lower    = "abcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
	hexLower = "0123456789abcdef"
)
