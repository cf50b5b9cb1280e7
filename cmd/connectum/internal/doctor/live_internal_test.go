package doctor

import (
	"testing"

	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
)

// Addresses of the network can't be had in a test, so the judgement is asked.
func TestPlaintextIsJudgedByTheAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]Severity{
		"192.0.2.1:80": Error, "api.example.com:80": Error, "10.1.2.3:80": Warning, "[fd00::1]:80": Warning,
		"localhost:80": "", "127.0.0.1:80": "", "unix:///s": "", "https://192.0.2.1": "",
	} {
		to, err := target.New(address, target.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got Severity
		for _, c := range liveChecks {
			if c.Name == "live-plaintext" {
				for _, f := range findings(c, c.live(&patient{target: to})) {
					got = f.Severity
				}
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
