package env_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/connectum-go/connectum/env"
)

const (
	secret = "hunter2"
	key    = "-----BEGIN PRIVATE KEY-----\n" + secret
)

// Behaviours 39, 40, 41 and 74: each is one line that names the variable and says
// what is wanted.
func TestMistakesNameTheVariableAndWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		values []string
		want   string
	}{
		{"PORT", []string{"0", "70000", "-1", "text", "80\n", "none"}, "want a whole number from 1 to 65535"},
		{"LISTEN", []string{"host:", "[::1]:"}, "want a port after the colon"},
		{"LISTEN", []string{"host:65536", "host:http", "host:-1"}, "want a port from 0 to 65535 after the colon"},
		{"LISTEN", []string{"http://host:80", "tcp://:80"}, "want an address without a scheme"},
		{"LISTEN", []string{"two words", "host/path", "1.2.3.400", "1.2.3", "*", "a..b", "[::1", "::1::2", "hö"}, "want a host name or an IP address"},
		{"LISTEN", []string{"8080"}, "want a host; a port alone is set by PORT, or as :8080"},
		{"LISTEN", []string{"unix://", "unix://run/s"}, "want unix:// and an absolute path"},
		{"ADMIN_LISTEN", []string{"nonsense", "9090", "::1", "[::1]"}, "want host:port, such as localhost:9090"},
		{"ADMIN_LISTEN", []string{"a b:9090"}, "want a host name or an IP address"},
		{"TLS_CLIENT_AUTH", []string{"maybe"}, "want none, request or require"},
		{"TLS_RELOAD_INTERVAL", []string{"0s", "1ns", "5"}, "want a duration of at least 10ms, or none, such as 25s"},
		{"LOG_LEVEL", []string{"trace", "INFO"}, "want debug, info, warn or error"},
		{"LOG_FORMAT", []string{"xml"}, "want json or text"},
		{"SHUTDOWN_TIMEOUT", []string{"25", "-1s", "11m", "0s", "999ms", "none"}, "want a duration from 1s to 10m, such as 25s"},
		{"DRAIN_DELAY", []string{"x", "-1s", "none"}, "want a duration from 0s to 10m, such as 25s"},
		{"STREAM_GRACE", []string{"x", "0s"}, "want a duration of at least 1ms, or none"},
		{"REQUEST_TIMEOUT", []string{"x", "0"}, "want a duration of at least 1ms, or none"},
		{"MAX_RECEIVE_BYTES", []string{"0", "x", "4MiB"}, "want a whole number of at least 1, or none"},
		{"MAX_CONNS", []string{"-1", "99999999999999999999"}, "want a whole number of at least 1, or none"},
		{"MAX_CONCURRENT_STREAMS", []string{"none"}, "want a whole number of at least 1"},
		{"MAX_HEADER_BYTES", []string{"1"}, "want a whole number of at least 1024"},
		{"STREAM_BUFFER_BYTES", []string{"1", "4194304"}, "want a whole number from 65536 to 4194303"},
		{"CONNECTION_AGE_JITTER", []string{"0", "1.1", "NaN", "-0.1", "x"}, "want a number above 0 and at most 1"},
		{"ALLOW_GET", []string{"maybe"}, "want true or false"},
	} {
		for _, value := range test.values {
			err := env.ParseFrom(new(env.Config), map[string]string{test.name: value})
			if want := fmt.Sprintf("env: %s is %q: %s", test.name, value, test.want); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s=%q: %v, want %s", test.name, value, err, want)
			}
		}
	}
	for name, values := range map[string][]string{
		"PORT": {"1", "65535"}, "ALLOW_GET": {"true", "false", "1", "0", "yes", "no", "TRUE"}, "SHUTDOWN_TIMEOUT": {"1s", "10m"},
		"DRAIN_DELAY": {"0s"}, "LISTEN": {"localhost", "a-b_c.example", "example.com.", "0.0.0.0:0", "[fe80::1%eth0]:80"},
		"ADMIN_LISTEN": {":0", "unix:///run/s"}, "LOG_LEVEL": {"", "error"},
	} {
		for _, value := range values {
			if err := env.ParseFrom(new(env.Config), map[string]string{name: value}); err != nil {
				t.Errorf("%s=%q: %v", name, value, err)
			}
		}
	}
}

func TestVariablesThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	all := samples(t)
	for _, test := range []struct {
		variables map[string]string
		want      string
	}{
		{map[string]string{"TLS_CERT": all["TLS_CERT"]}, "env: TLS_KEY is not set: TLS_CERT needs it"},
		{map[string]string{"TLS_KEY": all["TLS_KEY"]}, "env: TLS_CERT is not set: TLS_KEY needs it"},
		{map[string]string{"TLS_CLIENT_CA": all["TLS_CLIENT_CA"], "TLS_CLIENT_AUTH": "none"}, `env: TLS_CLIENT_AUTH is "none": it goes with no TLS_CLIENT_CA; want one of them`},
		{map[string]string{"DRAIN_DELAY": "30s", "SHUTDOWN_TIMEOUT": "30s"}, "env: DRAIN_DELAY is 30s: want less than the SHUTDOWN_TIMEOUT of 30s"},
	} {
		if err := env.ParseFrom(new(env.Config), test.variables); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestPEMIsLookedAtAndNeverShown(t *testing.T) {
	t.Parallel()
	all, dir := samples(t), t.TempDir()
	_, none := os.ReadFile(filepath.Join(dir, "none"))
	for _, test := range []struct{ name, value, want string }{
		{"TLS_KEY", filepath.Join(dir, secret), "a file of this name can't be read: " + errors.Unwrap(none).Error()},
		{"TLS_KEY", secret, "a file of this name can't be read"}, // a key without its first line
		{"TLS_KEY", strings.Repeat(secret, 1000), "a file of this name can't be read"},
		{"TLS_KEY", secret + "\x00", "a file of this name can't be read"},
		{"TLS_KEY", secret + ".\n" + secret, "a file of this name can't be read"},
		{"TLS_KEY", "-----BEGAN " + secret + ".", "a file of this name can't be read"},
		{"TLS_KEY", filepath.Join(dir, "tls.key"), strconv.Quote(filepath.Join(dir, "tls.key")) + " can't be read: no such file or directory"},
		{"TLS_KEY", dir, "want a PEM file or PEM, not a directory"},
		{"TLS_KEY", key, "want PEM with a complete block of type PRIVATE KEY"},
		{"TLS_KEY", strings.ReplaceAll(all["TLS_KEY"], "\n", `\n`), `want PEM with real line breaks instead of \n`},
		{"TLS_KEY", all["TLS_CLIENT_CA"], "want PEM with a complete block of type PRIVATE KEY"},
		{"TLS_CERT", all["TLS_KEY"], "want PEM with a complete block of type CERTIFICATE"},
		{"TLS_CLIENT_CA", all["TLS_KEY"], "want PEM with a complete block of type CERTIFICATE"},
	} {
		given := map[string]string{"TLS_CERT": all["TLS_CERT"], "TLS_KEY": all["TLS_KEY"], test.name: test.value}
		err := env.ParseFrom(new(env.Config), given)
		if err == nil || !strings.HasPrefix(err.Error(), "env: "+test.name+": want") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), keyBody(all["TLS_KEY"]))) {
			t.Errorf("%s: the value leaked: %v", test.name, err)
		}
	}
}

// keyBody is a part of a key that nothing may show.
func keyBody(pem string) string { return strings.Split(pem, "\n")[1][:20] }

func TestMistakesAreReportedTogetherInOrder(t *testing.T) {
	t.Parallel()
	err := env.ParseFrom(new(env.Config), map[string]string{"MAX_CONNS": "x", "PORT": "0", "LOG_LEVEL": "trace", "TLS_KEY": key, "LISTEN": "8080"})
	var names []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "env: "), ":")
		names = append(names, strings.Fields(name)[0])
	}
	if got := strings.Join(names, " "); got != "PORT LISTEN TLS_KEY LOG_LEVEL MAX_CONNS TLS_CERT" {
		t.Errorf("%s:\n%v", got, err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("a secret: %v", err)
	}
}

type pool struct {
	Size  env.Count    `env:"SIZE" min:"2" max:"10"`
	Lease env.Duration `env:"LEASE"`
}

type service struct {
	env.Config
	DSN      string         `env:"DATABASE_URL,required" help:"Where the orders are."`
	Token    string         `env:"TOKEN,notEmpty"`
	Workers  int            `env:"WORKERS"`
	Port     int            `env:"EXTRA_PORT"` // the name of a field of Config's
	Share    float64        `env:"SHARE"`
	Verbose  bool           `env:"VERBOSE"`
	Every    time.Duration  `env:"EVERY"`
	Peer     netip.AddrPort `env:"PEER"`
	Bytes    []uint8        `env:"BYTES"`
	Weights  map[string]int `env:"WEIGHTS"`
	Password string         `env:"PASSWORD_FILE,file"`
	Pool     pool           `envPrefix:"POOL_"`
	Replicas []pool         `envPrefix:"REPLICA"`
}

// The variables of a user's own struct are named, by prefix and index too, and
// what they are set to stays hidden: any of them may be a secret.
func TestMistakesOfOthersAreNamedAndNotShown(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"TOKEN": "", "WORKERS": secret, "EXTRA_PORT": "1" + secret, "SHARE": secret, "VERBOSE": secret, "EVERY": secret, "PEER": secret,
		"BYTES": "1," + secret, "WEIGHTS": secret, "PASSWORD_FILE": secret, "POOL_SIZE": "11", "POOL_LEASE": secret,
		"REPLICA_0_SIZE": "2", "REPLICA_1_SIZE": "1", "REPLICA_1_LEASE": "none", "REPLICA_2_SIZE": secret, "PORT": "70000",
	}
	err := env.ParseFrom(new(service), given)
	want := `env: PORT is "70000": want a whole number from 1 to 65535
env: DATABASE_URL is not set: it is required (Where the orders are.)
env: TOKEN is empty: it is required
env: WORKERS: want a whole number of 32 bits
env: EXTRA_PORT: want a whole number of 32 bits
env: SHARE: want a number
env: VERBOSE: want true or false
env: EVERY: want a duration, such as 25s
env: PEER: want a valid netip.AddrPort
env: BYTES: want a list of uint8
env: WEIGHTS: want a list of pairs, as for map[string]int
env: PASSWORD_FILE: want the name of a file; one of this name can't be read
env: POOL_SIZE: want a whole number from 2 to 10
env: POOL_LEASE: want a duration, such as 25s
env: REPLICA_1_SIZE: want a whole number from 2 to 10
env: REPLICA_1_LEASE: want a duration, such as 25s
env: REPLICA_2_SIZE: want a whole number from 2 to 10`
	if fmt.Sprint(err) != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A prefix changes the names, not the bounds; two configurations do not mix.
func TestPrefixesKeepTheBounds(t *testing.T) {
	t.Parallel()
	type two struct {
		Public   env.Config `envPrefix:"PUBLIC_"`
		Internal env.Config `envPrefix:"INTERNAL_"`
	}
	var good two
	if err := env.ParseFrom(&good, map[string]string{"PUBLIC_PORT": "80", "INTERNAL_PORT": "81", "PORT": "82"}); err != nil {
		t.Fatal(err)
	}
	if a, b := good.Public.Server().Addr, good.Internal.Server().Addr; a != ":80" || b != ":81" {
		t.Errorf("%s, %s", a, b)
	}
	err := env.ParseFrom(new(two), map[string]string{
		"PUBLIC_PORT": "80", "INTERNAL_PORT": "0", "INTERNAL_SHUTDOWN_TIMEOUT": "11m", "INTERNAL_ADMIN_LISTEN": "x", "PUBLIC_TLS_KEY": key,
	})
	for _, want := range []string{
		`env: INTERNAL_PORT is "0": want`, `env: INTERNAL_SHUTDOWN_TIMEOUT is "11m": want`, `env: INTERNAL_ADMIN_LISTEN is "x": want`,
		"env: PUBLIC_TLS_KEY: want PEM", "env: PUBLIC_TLS_CERT is not set: PUBLIC_TLS_KEY needs it",
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 5 {
		t.Errorf("%d lines, want 5: %v", n, err)
	}
}

// What fails changes nothing, wherever a struct points; what succeeds fills the
// very same structs.
func TestAFailedParseLeavesTheStructAlone(t *testing.T) {
	t.Parallel()
	type inner struct {
		Name  string `env:"NAME"`
		Count *int   `env:"COUNT"`
	}
	type outer struct {
		env.Config
		One  *inner  `envPrefix:"ONE_"`
		Many []inner `envPrefix:"MANY"`
		Rest *strings.Builder
	}
	build := func() (*outer, *inner) {
		n, m := 1, 2
		one := &inner{Name: "old", Count: &n}
		return &outer{Config: env.Config{Port: 7}, One: one, Many: []inner{{Name: "old", Count: &m}}, Rest: new(strings.Builder)}, one
	}
	show := func(o *outer, one *inner) string {
		return strings.TrimSpace(fmt.Sprintln(o.Port, o.One == one, one.Name, *one.Count, o.Many[0].Name, *o.Many[0].Count, o.Rest != nil))
	}
	given := map[string]string{"PORT": "80", "ONE_NAME": "new", "ONE_COUNT": "10", "MANY_0_NAME": "new", "MANY_0_COUNT": "20", "LOG_LEVEL": "x"}
	o, one := build()
	rest := o.Rest
	if err := env.ParseFrom(o, given); err == nil {
		t.Error("no mistake is reported")
	}
	if got := show(o, one); got != "7 true old 1 old 2 true" || o.Rest != rest {
		t.Errorf("after a failed parse: %s", got)
	}
	delete(given, "LOG_LEVEL")
	if err := env.ParseFrom(o, given); err != nil {
		t.Error(err)
	}
	if got := show(o, one); got != "80 true new 10 new 20 true" || o.Rest != rest {
		t.Errorf("after a parse: %s", got)
	}
}

func TestWhatIsNoStructIsRefused(t *testing.T) {
	t.Parallel()
	for _, dst := range []any{nil, env.Config{}, (*env.Config)(nil), new(int), "x"} {
		if err := env.ParseFrom(dst, nil); err == nil || !strings.HasPrefix(err.Error(), "env: want a pointer to a struct, not ") {
			t.Errorf("%T: %v", dst, err)
		}
	}
	var wrong struct {
		A int           `env:"A,nonsense"`
		B chan struct{} `env:"B"`
	}
	err := env.ParseFrom(&wrong, map[string]string{"A": secret, "B": secret})
	if err == nil || !strings.Contains(err.Error(), "env: A: field A: ") || !strings.Contains(err.Error(), "env: B: field B: ") || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

// However a configuration is printed, an inline key does not show.
func TestInlineKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	all := samples(t)
	body := keyBody(all["TLS_KEY"])
	outer := struct {
		env.Config
		hidden env.Config // fmt calls no methods of what is in here
	}{Config: parse(t, all)}
	outer.hidden = outer.Config
	var lines strings.Builder
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&lines, format+"\n", outer)
		fmt.Fprintf(&lines, format+"\n", &outer)
		fmt.Fprintf(&lines, format+"\n", outer.TLSKey)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&lines, nil), slog.NewJSONHandler(&lines, nil)} {
		slog.New(h).Info("start", "config", outer, "pointer", &outer, "key", outer.TLSKey)
	}
	if err := json.NewEncoder(&lines).Encode(outer); err != nil {
		t.Error(err)
	}
	if got := lines.String(); strings.Contains(got, body) || strings.Contains(got, fmt.Sprintf("%x", body)) || strings.Contains(got, fmt.Sprint([]byte(body))[1:40]) {
		t.Errorf("the key leaked:\n%s", got)
	}
	// The control: paths do show, and what is not ours would.
	if got := lines.String(); !strings.Contains(got, all["TLS_CERT"]) || !strings.Contains(got, "(inline PEM, ") ||
		!strings.Contains(fmt.Sprintf("%+v", struct{ Key string }{all["TLS_KEY"]}), body) {
		t.Errorf("nothing is shown:\n%s", got)
	}
	// What is printed in JSON is read again, but for secrets.
	text, err := json.Marshal(parse(t, map[string]string{"PORT": "80", "DRAIN_DELAY": "5s", "MAX_CONNS": "none", "TLS_CLIENT_AUTH": "request"}))
	for _, want := range []string{`"Port":"80"`, `"DrainDelay":"5s"`, `"MaxConns":"none"`, `"TLSClientAuth":"request"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s, %v, want %s", text, err, want)
		}
	}
}
