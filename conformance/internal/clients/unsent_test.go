package clients

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type failing struct {
	reads bool
	err   error
}

func (f failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.reads {
		_, _ = r.Body.Read(make([]byte, 1))
	}
	return nil, f.err
}

// Only what net/http fails with by itself, and before it has taken a byte to send,
// is a call that never left: everything else counts as lost.
func TestOnlyCallsThatNeverLeftAreUnsent(t *testing.T) {
	t.Parallel()
	rewind := errors.New("net/http: cannot rewind body after connection loss")
	for name, test := range map[string]struct {
		transport failing
		again     bool // the body can be had again
		want      bool
	}{
		"untouched":         {transport: failing{err: rewind}, want: true},
		"begun":             {transport: failing{err: rewind, reads: true}},
		"refused":           {transport: failing{err: errors.New("connection refused")}},
		"could be repeated": {transport: failing{err: rewind}, again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, _ := http.NewRequest(http.MethodPost, "http://localhost", io.NopCloser(strings.NewReader("x")))
			if test.again {
				req.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
			}
			_, err := unsent{test.transport}.RoundTrip(req)
			if got := errors.Is(err, ErrUnsent); got != test.want || !errors.Is(err, test.transport.err) {
				t.Errorf("unsent: %v (%v), want %v", got, err, test.want)
			}
		})
	}
}
