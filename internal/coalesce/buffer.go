package coalesce

import "sync"

// buffer grows to MaxBytes with the backlog of its stream.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 2<<10)} }}

func (b *buffer) len() int {
	if b == nil {
		return 0
	}
	return len(b.bytes)
}

func (b *buffer) append(p []byte) {
	if len(p) > 0 {
		b.bytes = append(b.bytes, p...)
	}
}

func (b *buffer) reset() *buffer {
	b.bytes = b.bytes[:0]
	return b
}
