package suite_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/connectum-go/connectum/conformance/internal/tool"
)

// patience is for a run of the suite that takes half a minute.
const patience = 10 * time.Minute

// standard is everything that connectum offers by itself: both versions of
// HTTP, the three protocols, TLS, client certificates, protobuf, JSON and gzip.
const standard = `
features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: true
  supportsTlsClientCerts: true
  supportsHalfDuplexBidiOverHttp1: false
`

// grpcOnly is the part of it that the native engine serves.
const grpcOnly = `
features:
  versions: [HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: true
  supportsTlsClientCerts: true
`

// The cases of the standard profile in connectrpc.com/conformance v1.0.7. They
// count the calls of and to the reference implementations of grpc-go, which the
// suite brings along.
const (
	serverCases = 3640
	clientCases = 4638
	grpcCases   = 876
)

// A server of connectum passes every case: there is no list of known failures.
func TestServerConforms(t *testing.T) { //nolint:paralleltest // a run of the suite keeps a machine busy, and has deadlines
	own(t, "server", "server").conforms(t, serverCases)
}

// So does one that serves gRPC by the native engine, where clients use one
// connection for all protocols, and where they speak gRPC alone.
func TestNativeServerConforms(t *testing.T) { //nolint:paralleltest // a run of the suite keeps a machine busy, and has deadlines
	mixed := own(t, "server", "native server")
	countInto(t, &mixed)
	mixed.conforms(t, serverCases)
	only := own(t, "server", "native server")
	counted := countInto(t, &only)
	only.profile = grpcOnly
	only.conforms(t, grpcCases)
	calls := counted()
	t.Logf("%d calls came by the engine", calls)
	if calls < grpcCases*9/10 {
		t.Errorf("%d calls of %d came by the engine", calls, grpcCases)
	}
}

// countInto has the servers of r count the calls that come by the engine.
func countInto(t *testing.T, r *run) func() int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "calls")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, callsKey+"="+file)
	return func() int {
		t.Helper()
		dots, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return len(dots)
	}
}

// A client with the chain of connectum passes every case.
func TestClientConforms(t *testing.T) { //nolint:paralleltest // a run of the suite keeps a machine busy, and has deadlines
	own(t, "client", "client").conforms(t, clientCases)
}

// The referee: the suite's own reference implementations, which says that the
// profile has these cases here and now, and that they can all be passed.
func TestReferencesConform(t *testing.T) { //nolint:paralleltest // a run of the suite keeps a machine busy, and has deadlines
	reference(t, "server", "referenceserver").conforms(t, serverCases)
	reference(t, "client", "referenceclient").conforms(t, clientCases)
}

// The control: what is wrong on purpose does not pass.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"server that forgets trailers", "server that takes every message for too large"} {
		r := own(t, "server", role)
		r.more = []string{"--run", "Basic/HTTPVersion:2/Protocol:PROTOCOL_GRPC/**"}
		if o := r.do(t); o.failed <= 0 || o.exit == nil {
			t.Errorf("%s: %d of %d cases failed, exit: %v", role, o.failed, o.total, o.exit)
		} else {
			t.Logf("%s: %d of %d cases failed", role, o.failed, o.total)
		}
	}
}

// run is one of the suite's.
type run struct {
	mode    string
	profile string
	env     []string
	command []string // what is tested
	more    []string // flags
}

// own tests this test binary in a role.
func own(t *testing.T, mode, role string) run {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return run{mode: mode, profile: standard, env: []string{roleKey + "=" + role}, command: []string{self}}
}

// reference tests a program that comes with the suite.
func reference(t *testing.T, mode, name string) run {
	t.Helper()
	return run{mode: mode, profile: standard, command: []string{tool.Path(t, "conformance", name)}}
}

// conforms runs the suite, and fails t unless exactly so many cases passed and
// none was left out.
func (r run) conforms(t *testing.T, cases int) outcome {
	t.Helper()
	o := r.do(t)
	t.Logf("%s mode: %d cases in %v, %d passed, %d failed", r.mode, o.total, o.took.Round(100*time.Millisecond), o.passed, o.failed)
	if o.exit != nil || o.passed != cases || o.total != cases || o.failed != 0 {
		t.Errorf("want %d cases, all passed; exit: %v\n%s", cases, o.exit, o.said)
	}
	return o
}

// outcome is what the suite counted.
type outcome struct {
	total, passed, failed int
	took                  time.Duration
	exit                  error
	said                  []byte
}

var (
	totalLine  = regexp.MustCompile(`(?m)^Total cases: (\d+)$`)
	passedLine = regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed$`)
)

func (r run) do(t *testing.T) outcome {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(profile, []byte(r.profile), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{"--conf", profile, "--mode", r.mode}, r.more...)
	cmd := exec.CommandContext(ctx, tool.Path(t, "conformance", "connectconformance"), append(append(args, "--"), r.command...)...)
	cmd.Env = append(os.Environ(), r.env...)
	began := time.Now()
	said, err := cmd.CombinedOutput()
	o := outcome{took: time.Since(began), exit: err, said: said[:min(len(said), 10_000)]}
	o.total, o.passed, o.failed = -1, -1, -1 // unless it says otherwise
	said = bytes.ReplaceAll(said, []byte("\r"), nil)
	if m := totalLine.FindSubmatch(said); m != nil {
		o.total, _ = strconv.Atoi(string(m[1]))
	}
	if m := passedLine.FindSubmatch(said); m != nil {
		o.passed, _ = strconv.Atoi(string(m[1]))
		o.failed, _ = strconv.Atoi(string(m[2]))
	}
	return o
}
