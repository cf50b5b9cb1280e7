package connectum

import (
	"context"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"
)

// pipeBytes is how much one side of an in-process stream may send ahead of the
// other: the window of a stream over HTTP/2, by [Limits.StreamBuffer]'s default.
const pipeBytes = 256 * kib

// pipeOverhead is what a message counts besides its size: about what it costs to
// hold an empty one.
const pipeOverhead = 64

// pipe carries the messages of one direction of an in-process stream, for one
// sender and one receiver. Messages are copied in, so that a sender may use its
// own again at once, as over a network.
type pipe struct {
	mu    sync.Mutex
	queue []queued
	bytes int
	in    passed        // was sent
	out   passed        // was received
	ended bool          // by the sender: the receiver gets what is queued, then io.EOF
	shut  bool          // by the receiver: nothing is wanted any more
	ready chan struct{} // hints to look again; buffered
	room  chan struct{}
}

type queued struct {
	msg  proto.Message
	size int
}

// passed is what has gone into a pipe so far, or come out of it.
type passed struct{ messages, bytes int64 }

func (p *passed) add(one queued) {
	p.messages++
	p.bytes += int64(one.size - pipeOverhead)
}

func newPipe() *pipe {
	return &pipe{ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// send queues a copy of msg, waiting for room. It returns io.EOF when the
// receiver wants nothing any more.
func (p *pipe) send(ctx context.Context, msg any) error {
	m, err := asProto(msg)
	if err != nil {
		return err
	}
	one := queued{size: proto.Size(m) + pipeOverhead}
	for {
		p.mu.Lock()
		if p.shut || p.ended {
			p.mu.Unlock()
			return io.EOF
		}
		if err := ctx.Err(); err != nil { // also while there is room: nobody will take it out
			p.mu.Unlock()
			return err
		}
		if p.bytes == 0 || p.bytes+one.size <= pipeBytes {
			one.msg = proto.Clone(m)
			p.queue = append(p.queue, one)
			p.bytes += one.size
			p.in.add(one)
			p.mu.Unlock()
			hint(p.ready)
			return nil
		}
		p.mu.Unlock()
		select {
		case <-p.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive moves the next message into dst.
func (p *pipe) receive(ctx context.Context, dst any) error {
	m, err := asProto(dst)
	if err != nil {
		return err
	}
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			one := p.queue[0]
			p.queue[0] = queued{}
			p.queue = p.queue[1:]
			p.bytes -= one.size
			p.out.add(one)
			p.mu.Unlock()
			hint(p.room)
			proto.Reset(m)
			proto.Merge(m, one.msg)
			return nil
		}
		ended := p.ended
		p.mu.Unlock()
		if ended {
			return io.EOF
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end tells the receiver that nothing more comes.
func (p *pipe) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	hint(p.ready)
}

// close tells the sender that nothing more is wanted.
func (p *pipe) close() {
	p.mu.Lock()
	p.shut = true
	p.queue, p.bytes = nil, 0
	p.mu.Unlock()
	hint(p.room)
}

func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
