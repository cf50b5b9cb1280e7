package connectum

import (
	"io"
	"runtime"
	"time"

	"connectrpc.com/connect/v2"
)

const (
	// inflateFree is what a message may grow to before it counts, in bytes.
	// Small messages are never held up by large ones.
	inflateFree = 32 * kib

	// inflateWait is how long a message waits for its turn to grow further. It
	// is CPU that it waits for, as the compressed bytes are here already.
	inflateWait = time.Second
)

// inflation bounds the messages that are decompressed at one time.
//
// The decode budget does not see them: it is taken by size, which is known only
// after the decompression. A thousand bombs of 4 KiB, each within its limit,
// would stand as 4 MiB each before the first is refused. As there is no
// more to gain from decompressing more of them at once than there are processors,
// the others wait their turn as the few bytes that they came as.
type inflation struct {
	server *Server
	turns  chan struct{}
}

func newInflation(s *Server) *inflation {
	return &inflation{s, make(chan struct{}, 4*runtime.GOMAXPROCS(0))} // some more than can run: large ones do not bar the way
}

// enter takes a turn, which leave gives back.
func (i *inflation) enter() error {
	select {
	case i.turns <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(inflateWait)
	defer timer.Stop()
	select {
	case i.turns <- struct{}{}:
		return nil
	case <-timer.C:
		i.server.counters.refused.Add(1)
		return errNoBudget
	}
}

func (i *inflation) leave() { <-i.turns }

// boundedCompressor is a compressor whose messages grow by turns.
type boundedCompressor struct {
	connect.Compressor
	turns *inflation
}

// Decompress implements [connect.Compressor].
func (b *boundedCompressor) Decompress(src io.Reader) (io.ReadCloser, error) {
	from, err := b.Compressor.Decompress(src)
	if err != nil {
		return nil, err
	}
	return &inflated{from: from, turns: b.turns, free: inflateFree}, nil
}

// inflated reads one message.
type inflated struct {
	from  io.ReadCloser
	turns *inflation
	free  int // bytes that may still come without a turn
	turn  bool
}

func (r *inflated) Read(p []byte) (int, error) {
	if r.free == 0 && !r.turn {
		if err := r.turns.enter(); err != nil {
			return 0, err
		}
		r.turn = true
	}
	if !r.turn {
		p = p[:min(len(p), r.free)]
	}
	n, err := r.from.Read(p)
	if !r.turn {
		r.free -= n
	}
	return n, err
}

func (r *inflated) Close() error {
	if r.turn {
		r.turn = false
		r.turns.leave()
	}
	return r.from.Close()
}
