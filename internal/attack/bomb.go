package attack

import (
	"errors"
	"io"
	"sync/atomic"
)

// Bomb is a connect.Compressor that is gzip by its name. What it decompresses has
// no end, and what has grown beyond 32 KiB goes on when Let is closed.
type Bomb struct {
	Grown atomic.Int64 // how many have grown so far
	Let   chan struct{}
}

// Name implements connect.Compressor.
func (*Bomb) Name() string { return "gzip" }

// Decompress implements connect.Compressor, without a look at what it is given.
func (b *Bomb) Decompress(io.Reader) (io.ReadCloser, error) { return &growing{of: b}, nil }

// Compress implements connect.Compressor: it fails.
func (*Bomb) Compress(io.Writer) (io.WriteCloser, error) { return nil, errors.ErrUnsupported }

type growing struct {
	of   *Bomb
	size int
	let  bool
}

func (g *growing) Read(p []byte) (int, error) {
	if g.size >= 32<<10 && !g.let {
		g.of.Grown.Add(1)
		<-g.of.Let
		g.let = true
	}
	p = p[:min(len(p), 16<<10)] // buffers are used again, and may be large from the first
	clear(p)
	g.size += len(p)
	return len(p), nil
}

func (*growing) Close() error { return nil }
