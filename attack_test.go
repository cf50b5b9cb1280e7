package connectum_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// What attack_*_test.go hold, by field of Limits:
//
//	MaxReceiveBytes, MaxJSONBytes    TestBombsAreNotInflated, TestMessagesOverTheLimitAreRefused
//	MaxSendBytes                     TestMessagesOverTheLimitAreRefused
//	DecodeBudget                     TestLargeMessagesAtOnceAreBoundedByDefault, TestFewBombsGrowAtOnce,
//	                                 TestBombsWithinTheLimitShareTheDecodeBudget, TestWhatWaitsForTheBudgetIsBounded
//	CompressMinBytes                 TestSmallAnswersAreNotCompressed
//	MaxHeaderBytes                   TestHeaderBombsAreRefused
//	HeaderTimeout, HandshakeTimeout,
//	IdleTimeout                      TestPeersThatSayNothingAreCut
//	ReadStall, Timeout               TestSlowBodiesAreCut
//	WriteStall                       TestPeersThatReadNothingAreCut
//	PingInterval, PingTimeout        TestDeadPeersAreCut
//	MaxConcurrentStreams             TestStreamsOverTheLimitAreRefused
//	StreamBuffer, ConnBuffer         TestDataBeyondTheWindowsIsRefused
//	MaxConns                         TestConnectionsOverTheLimitAreRefused
//	MaxInFlight                      TestCallsOverTheLimitInFlightAreRefusedAndInfrastructureIsNot
//	Timeout                          TestUnaryCallsEndAtTheServersLimit
//	MaxConnectionAge, AgeJitter      TestOldConnectionsAreAskedToLeave
//	PerProcedure                     TestEachLimitOfAProcedureIsHeld
//
// Floods of frames are internal/wire's; here is that its meter is on.

const (
	echoPath  = "/connectum.test.v1.TestService/Echo"
	countPath = "/connectum.test.v1.TestService/Count"
	sumPath   = "/connectum.test.v1.TestService/Sum"
	chatPath  = "/connectum.test.v1.TestService/Chat"
)

// victim is a server under attack, by the fake clock, on a listener in memory.
type victim struct {
	*connectum.Server
	t      *testing.T
	memory *doors.Memory
	served atomic.Int64 // calls of the healthy client
	ended  chan error   // for the handlers of svc
}

// attacked runs attack against a server of svc, while a client that behaves
// calls it four times a second and must always be served.
func attacked(t *testing.T, cfg connectum.Config, svc func(v *victim) testservice.Service, attack func(v *victim)) {
	t.Helper()
	underAttack(t, cfg, svc, func(v *victim) {
		over, healthy := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(healthy)
			v.behave(over)
		}()
		synctest.Wait()
		attack(v)
		time.Sleep(time.Second)
		close(over)
		<-healthy
		if v.served.Load() < 4 {
			t.Errorf("the client that behaves was served %d times", v.served.Load())
		}
	})
}

// underAttack is attacked without that client. At the end nothing may be in
// flight, and the server must stop cleanly.
func underAttack(t *testing.T, cfg connectum.Config, svc func(v *victim) testservice.Service, attack func(v *victim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		cfg.Logger = log.logger()
		v := &victim{Server: connectum.New(cfg), t: t, memory: newMemory(), ended: make(chan error, 1000)}
		svc(v).Register(v.RPC())
		ended := make(chan error, 1)
		go func() { ended <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		attack(v)
		if n := v.InFlight(); n > 0 {
			t.Errorf("%d calls are in flight after the attack", n)
		}
		if err := v.Shutdown(context.Background()); err != nil {
			t.Errorf("the stop after the attack: %v", err)
		}
		<-ended
		if strings.Contains(log.String(), "panicked") {
			t.Errorf("a panic:\n%s", log.String())
		}
	})
}

// behave calls the server until over.
func (v *victim) behave(over <-chan struct{}) {
	c := v.http(true)
	defer c.CloseIdleConnections()
	client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(c, "http://localhost", connecthttp.WithGRPC())))
	for {
		began := time.Now()
		if _, err := client.Get(context.Background(), &testv1.GetRequest{Text: "x"}); err != nil || time.Since(began) > 0 {
			v.t.Errorf("the client that behaves: %v after %v", err, time.Since(began))
		}
		v.served.Add(1)
		select {
		case <-over:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// dial is a connection for the attacker, which is closed at the end.
func (v *victim) dial() net.Conn {
	v.t.Helper()
	return v.memory.Open(v.t)
}

func (v *victim) http(two bool) *http.Client { return v.memory.Client(v.t, two) }

// dialects are the ways to call over plaintext HTTP.
func (v *victim) dialects() map[string]*connect.Client {
	over := func(two bool, opts ...connecthttp.Option) *connect.Client {
		return connect.NewClient(connecthttp.NewTransport(v.http(two), "http://localhost", opts...))
	}
	return map[string]*connect.Client{
		"connect json h1":  over(false, connecthttp.WithProtoJSON()),
		"connect proto h1": over(false),
		"connect proto h2": over(true),
		"grpcweb h1":       over(false, connecthttp.WithGRPCWeb()),
		"grpcweb h2":       over(true, connecthttp.WithGRPCWeb()),
		"grpc h2":          over(true, connecthttp.WithGRPC()),
		"in-process":       connect.NewClient(v.Transport()),
	}
}

// closedAfter returns how long the server keeps c open.
func closedAfter(c net.Conn) time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(began)
}

// dialect is one protocol, spoken by hand.
type dialect struct {
	name        string
	contentType string
	stream      bool   // messages are in envelopes
	encoding    string // the header that tells the compression of messages
	two         bool   // over HTTP/2 alone
}

var handmade = []dialect{
	{"connect", "application/proto", false, "Content-Encoding", false},
	{"connect json", "application/json", false, "Content-Encoding", false},
	{"connect stream", "application/connect+proto", true, "Connect-Content-Encoding", false},
	{"grpcweb", "application/grpc-web+proto", true, "Grpc-Encoding", false},
	{"grpc", "application/grpc+proto", true, "Grpc-Encoding", true},
}

// method is the procedure that a dialect calls: streams of Connect are another
// protocol than its unary calls.
func (d dialect) method() string {
	if d.name == "connect stream" {
		return countPath
	}
	return echoPath
}

// body wraps one message.
func (d dialect) body(flag byte, message []byte) []byte {
	if !d.stream {
		return message
	}
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}

// verdict is what a call was answered, and everything that came on the wire.
type verdict struct {
	status        int
	code, message string // as in Connect: "" is success
	wire          string
}

// send posts body as d would and reads the answer.
func (d dialect) send(t testing.TB, c *http.Client, base, path string, header map[string]string, body io.Reader) verdict {
	t.Helper()
	req, err := http.NewRequest("POST", base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", d.contentType)
	if d.contentType == "application/grpc+proto" {
		req.Header.Set("Te", "trailers")
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return verdict{message: err.Error(), code: "broken"}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	v := verdict{status: res.StatusCode}
	var wire bytes.Buffer
	_ = res.Header.Write(&wire)
	wire.Write(text)
	_ = res.Trailer.Write(&wire)
	v.wire = wire.String()
	switch {
	case err != nil:
		v.code, v.message = "broken", err.Error()
	case res.StatusCode == http.StatusUnsupportedMediaType:
		v.code = "415"
	case strings.HasPrefix(d.contentType, "application/grpc"):
		v.code, v.message = grpcVerdict(res, text)
	case d.stream:
		var end struct{ Error *failure }
		if last, flag := lastEnvelope(text); flag == 2 && json.Unmarshal(last, &end) == nil && end.Error != nil {
			v.code, v.message = end.Error.Code, end.Error.Message
		} else if flag != 2 {
			v.code = "torn"
		}
	case res.StatusCode != http.StatusOK:
		var e failure
		if json.Unmarshal(text, &e) != nil {
			e.Code = "torn"
		}
		v.code, v.message = e.Code, e.Message
	}
	return v
}

type failure struct{ Code, Message string }

// grpcVerdict finds the status in trailers, in the header of an answer without
// messages, or in the last message of gRPC-Web.
func grpcVerdict(res *http.Response, text []byte) (code, message string) {
	status := res.Header
	if res.Trailer.Get("Grpc-Status") != "" {
		status = res.Trailer
	} else if last, flag := lastEnvelope(text); flag == 128 {
		status = http.Header{}
		for line := range strings.Lines(string(last)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			status.Set(name, strings.TrimSpace(value))
		}
	}
	names := []string{"", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
		"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"}
	for i, name := range names {
		if status.Get("Grpc-Status") == strconv.Itoa(i) {
			message, _ = url.PathUnescape(status.Get("Grpc-Message"))
			return name, message
		}
	}
	return "torn", ""
}

// lastEnvelope returns the last message of a stream and its flag.
func lastEnvelope(text []byte) (last []byte, flag byte) {
	for len(text) >= 5 {
		n := int(binary.BigEndian.Uint32(text[1:]))
		if n > len(text)-5 {
			return nil, 0xff
		}
		flag, last, text = text[0], text[5:5+n], text[5+n:]
	}
	return last, flag
}

func newMemory() *doors.Memory { return doors.NewMemory("localhost:80") }

// usual is the service as it is.
func usual(*victim) testservice.Service { return testservice.Service{} }
