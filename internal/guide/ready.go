package guide

import (
	"net/http"
	"testing"
	"time"
)

// UntilReady asks for the readiness of a program that a page runs, as a probe
// would, until it is ready.
func UntilReady(t testing.TB, addr string) {
	t.Helper()
	ask, enough := time.NewTicker(10*time.Millisecond), time.After(time.Minute)
	defer ask.Stop()
	for {
		res, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-ask.C:
		case <-enough:
			t.Fatalf("http://%s/readyz still answers %s", addr, res.Status)
		}
	}
}
