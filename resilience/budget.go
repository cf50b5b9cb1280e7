package resilience

import "sync"

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
