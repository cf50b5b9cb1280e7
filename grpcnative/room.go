package grpcnative

import "google.golang.org/grpc/mem"

// room is the memory in which a stream's answers wait for grpc-go to write them.
// The first has its place within the stream, as most streams have one; those
// after it share what is made for several, beside one another and never anew.
// The garbage collector takes it back when all of them are written.
type room struct {
	first  place
	begun  bool
	places []place
	spare  []byte
}

// place is what grpc-go is handed of one message.
type place struct {
	view  mem.SliceBuffer
	slice [1]mem.Buffer
}

const (
	roomPlaces = 32
	roomBytes  = 2 << 10 // twice the largest that is not of the pool
)

// bytes returns room for n bytes of a small message.
func (r *room) bytes(n int) []byte {
	if !r.begun {
		return make([]byte, 0, n)
	}
	if len(r.spare) < n {
		r.spare = make([]byte, roomBytes)
	}
	out := r.spare[:0:n]
	r.spare = r.spare[n:]
	return out
}

func (r *room) place() *place {
	if !r.begun {
		r.begun = true
		return &r.first
	}
	if len(r.places) == 0 {
		r.places = make([]place, roomPlaces)
	}
	out := &r.places[0]
	r.places = r.places[1:]
	return out
}

// reuse takes back what was handed out since before, as it was copied; what was
// made anew meanwhile stays.
func (r *room) reuse(before room) {
	if len(before.places) > len(r.places) {
		r.places = before.places
	}
	if len(before.spare) > len(r.spare) {
		r.spare = before.spare
	}
}
