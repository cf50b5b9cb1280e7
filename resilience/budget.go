package resilience

import (
	"strconv"
	"sync"
)

// budget bounds further attempts to a share of something, of calls that are
// answered say: each puts in a fraction of a token, each further attempt takes
// one. A number of calls in flight, as failsafe-go's budget has, would bound
// nothing where calls fail fast: then there are never many in flight.
type budget struct {
	ratio, most float64

	mu     sync.Mutex
	tokens float64
}

func newBudget(ratio float64, most int) *budget {
	return &budget{ratio: ratio, most: float64(most), tokens: float64(most)}
}

// String tells the share, also of no budget at all.
func (b *budget) String() string {
	if b == nil {
		return "none"
	}
	return strconv.FormatFloat(b.ratio, 'g', -1, 64)
}

func (b *budget) deposit() {
	b.mu.Lock()
	b.tokens = min(b.tokens+b.ratio, b.most)
	b.mu.Unlock()
}

func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *budget) left() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens
}
