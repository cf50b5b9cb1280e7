package grpcnative

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// codec is what grpc-go encodes answers with: they are encoded already.
type codec struct{}

// Name implements [encoding.CodecV2].
func (codec) Name() string { return "proto" }

// Marshal implements [encoding.CodecV2].
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	s, ok := v.(*stream)
	if !ok {
		return nil, fmt.Errorf("grpcnative: message of type %T", v)
	}
	out := s.out
	s.out = nil
	return out, nil
}

// Unmarshal implements [encoding.CodecV2]: messages are read below grpc-go.
func (codec) Unmarshal(mem.BufferSlice, any) error {
	return fmt.Errorf("grpcnative: grpc-go read a message")
}

// sink is what codecs write the answers of a stream to, one after the other, with
// the methods of [bytes.Buffer] that let them encode in place.
type sink struct {
	b    []byte
	pool *[]byte // what b is of, when it is of the pool
	room room
}

// Grow makes room for n bytes more.
func (s *sink) Grow(n int) {
	if cap(s.b)-len(s.b) >= n {
		return
	}
	need := len(s.b) + n
	if mem.IsBelowBufferPoolingThreshold(need) {
		s.move(s.room.bytes(need), nil)
		return
	}
	p := mem.DefaultBufferPool().Get(need)
	s.move((*p)[:0], p)
}

func (s *sink) move(to []byte, pool *[]byte) {
	to = append(to, s.b...)
	s.free()
	s.b, s.pool = to, pool
}

// AvailableBuffer returns the room behind what was written.
func (s *sink) AvailableBuffer() []byte { return s.b[len(s.b):] }

// Write implements [io.Writer].
func (s *sink) Write(p []byte) (int, error) {
	if cap(s.b)-len(s.b) < len(p) {
		s.Grow(max(len(p), cap(s.b)))
	}
	n := len(s.b)
	s.b = s.b[:n+len(p)]
	copy(s.b[n:], p) // onto itself, when it was encoded in place
	return len(p), nil
}

// take gives what was written away.
func (s *sink) take() mem.BufferSlice {
	at := s.room.place()
	if s.pool == nil {
		at.view = s.b
		at.slice[0] = &at.view
	} else {
		*s.pool = s.b
		at.slice[0] = mem.NewBuffer(s.pool, mem.DefaultBufferPool())
	}
	s.b, s.pool = nil, nil
	return at.slice[:]
}

func (s *sink) free() {
	if s.pool != nil {
		mem.DefaultBufferPool().Put(s.pool)
	}
	s.b, s.pool = nil, nil
}
