package coalesce_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/connectum-go/connectum/internal/coalesce"
)

func BenchmarkStreamOf1000Messages(b *testing.B) {
	message := make([]byte, 39)
	stream := func(w http.ResponseWriter) {
		f := http.NewResponseController(w)
		for range 1000 {
			w.Write(message)
			f.Flush()
		}
	}
	for _, bench := range []struct {
		name string
		h    http.HandlerFunc
	}{
		{"plain", func(rw http.ResponseWriter, r *http.Request) { stream(rw) }},
		{"coalesced", func(rw http.ResponseWriter, r *http.Request) {
			w := new(coalesce.Writer)
			w.Reset(rw)
			defer w.Abort()
			stream(w)
			w.Finish()
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s := httptest.NewUnstartedServer(bench.h)
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			defer s.Close()
			tr := &http.Transport{Protocols: new(http.Protocols)}
			defer tr.CloseIdleConnections()
			tr.Protocols.SetUnencryptedHTTP2(true)
			client := &http.Client{Transport: tr}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get(s.URL)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != 39000 {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
	}
}
