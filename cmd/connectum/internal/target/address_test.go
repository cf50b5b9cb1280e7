package target_test

import (
	"strings"
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
)

// behaviour 155: what has no scheme gets one.
func TestAddressesOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text       string
		secure     bool
		want, dial string
	}{
		{"localhost:5000", false, "http://localhost:5000", "localhost:5000"},
		{"localhost:5000", true, "https://localhost:5000", "localhost:5000"},
		{"api.example.com", false, "http://api.example.com", "api.example.com:80"},
		{"api.example.com", true, "https://api.example.com", "api.example.com:443"},
		{":5000", false, "http://localhost:5000", "localhost:5000"},
		{"http://a.example.com:81", false, "http://a.example.com:81", "a.example.com:81"},
		{"HTTPS://a.example.com/base/", false, "https://a.example.com/base", "a.example.com:443"},
		{"[::1]:5000", false, "http://[::1]:5000", "[::1]:5000"},
		{"::1", false, "http://[::1]", "[::1]:80"},
		{"unix:///run/app.sock", false, "unix:///run/app.sock", "/run/app.sock"},
	} {
		a, err := target.ParseAddress(c.text, c.secure)
		if err != nil {
			t.Error(err)
			continue
		}
		if a.String() != c.want || a.HostPort() != c.dial {
			t.Errorf("%s: %s and %s, want %s and %s", c.text, a, a.HostPort(), c.want, c.dial)
		}
	}
	for _, text := range []string{
		"", ":", "localhost:", "localhost:0", "localhost:65536", "localhost:http", "ftp://a", "grpc://a", "http://", "https://user@a", "http://a?b", "http://a#b",
		"unix://relative", "unix:/one", "a b:80", "a\n:80", "http://a:80:80", "http://[::1", `\\host\share`,
	} {
		if a, err := target.ParseAddress(text, false); err == nil {
			t.Errorf("%q is taken as %s", text, a)
		}
	}
	if _, err := target.ParseAddress("http://a", true); err == nil {
		t.Error("plaintext is taken where TLS is asked for")
	}
}

func TestLoopbackIsKnownByName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"localhost:1": true, "LOCALHOST.:1": true, "127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "unix:///s": true,
		"0.0.0.0:1": false, "10.0.0.1:1": false, "localhost.example.com:1": false, "127.0.0.1.example.com:1": false, "example.com": false,
	} {
		a, err := target.ParseAddress(text, false)
		if err != nil || a.Loopback() != want {
			t.Errorf("%s: %v, %v", text, a.Loopback(), err)
		}
	}
}

// What is taken as an address has a host to dial, and reads the same again.
func FuzzAddresses(f *testing.F) {
	for _, text := range []string{"localhost:5000", "https://a/b", "unix:///s", "[::1]:1", ":1", "http://a%2fb", "a:b@c", "http://%00"} {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, secure bool) {
		a, err := target.ParseAddress(text, secure)
		if err != nil {
			return
		}
		if a.URL.Hostname() == "" || a.URL.User != nil || a.URL.RawQuery != "" || strings.HasSuffix(a.URL.String(), "/") {
			t.Fatalf("%q: %+v", text, a.URL)
		}
		again, err := target.ParseAddress(a.String(), secure)
		if a.Socket != "" && err == nil && again.Socket == a.Socket {
			return
		}
		if err != nil || again.String() != a.String() || again.HostPort() != a.HostPort() || again.Loopback() != a.Loopback() {
			t.Fatalf("%q reads as %s, then as %v, %v", text, a, again, err)
		}
	})
}
