package coalesce

import (
	"errors"
	"net/http"
)

// flusher is the half of http.ResponseController that is used for every message,
// looked up once.
type flusher interface{ FlushError() error }

type silentFlusher struct{ http.Flusher }

func (f silentFlusher) FlushError() error {
	f.Flush()
	return nil
}

type noFlusher struct{}

func (noFlusher) FlushError() error { return errors.ErrUnsupported }

// findFlusher unwraps rw as http.ResponseController does.
func findFlusher(rw http.ResponseWriter) flusher {
	for {
		switch f := rw.(type) {
		case flusher:
			return f
		case http.Flusher:
			return silentFlusher{f}
		case interface{ Unwrap() http.ResponseWriter }:
			rw = f.Unwrap()
		default:
			return noFlusher{}
		}
	}
}
