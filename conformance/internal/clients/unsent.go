package clients

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// ErrUnsent is the error of a stream that never left its client. net/http's HTTP/2
// client may learn that it is to leave a connection between choosing that for a call
// and using it. It then closes the body, of which it has sent nothing, and fails,
// where it repeats a call whose body it can get again (golang/go#62450). No server
// can do anything about it, but never to send a GOAWAY.
var ErrUnsent = errors.New("the call never left its client (golang/go#62450)")

// unsent tells these calls from others that fail.
type unsent struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (u unsent) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.GetBody != nil {
		return u.next.RoundTrip(r)
	}
	body := &watched{ReadCloser: r.Body}
	watching := r.WithContext(r.Context())
	watching.Body = body
	res, err := u.next.RoundTrip(watching)
	if err != nil && !body.read.Load() && strings.Contains(err.Error(), "cannot rewind body after connection loss") {
		err = fmt.Errorf("%w: %w", ErrUnsent, err)
	}
	return res, err
}

// watched notes whether anything of a body was taken to be sent.
type watched struct {
	io.ReadCloser
	read atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.read.Store(true)
	return w.ReadCloser.Read(p)
}
