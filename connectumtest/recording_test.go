package connectumtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// conversation makes calls of each kind, and some that fail.
func conversation(t testing.TB, client *connect.Client) {
	scenario(t, client)
	c := testv1connect.NewTestServiceClient(client)
	_, _ = c.Get(t.Context(), &testv1.GetRequest{Text: "secret cause"})
	chat, err := c.Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "b"} {
		if err := chat.Send(&testv1.ChatRequest{Text: text}); err != nil {
			t.Error(err)
		}
		if _, err := chat.Receive(); err != nil {
			t.Error(err)
		}
	}
	_ = chat.CloseSend()
	for err == nil {
		_, err = chat.Receive()
	}
}

func service() testservice.Service {
	svc := rich(nil)
	svc.OnGet = func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
		return nil, errors.New("database password is hunter2")
	}
	return svc
}

func record(t *testing.T, svc testservice.Service) string {
	t.Helper()
	rec := new(connectumtest.Recording)
	srv := newServer(t, connectum.Config{Interceptors: []connectum.Interceptor{rec.Interceptor()}}, svc)
	conversation(t, connectumtest.Start(t, srv).GRPC())
	file := filepath.Join(t.TempDir(), "calls.json")
	if err := rec.Save(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestARecordingIsReadableAndReplaysAsATest(t *testing.T) {
	t.Parallel()
	file := record(t, service())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"procedure": "/connectum.test.v1.TestService/Echo"`, `"text": "fail"`, `"code": "not_found"`,
		`"type": "google.protobuf.Duration"`, `"X-Trailer"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("a cause is in the file:\n%s", text)
	}
	again := newServer(t, connectum.Config{}, service())
	connectumtest.EachBidiDoor(t, again, func(t *testing.T, client *connect.Client) {
		connectumtest.LoadRecording(t, file).Replay(t, client)
	})
}

// The control: a service that has changed is found out.
func TestReplayShowsWhatHasChanged(t *testing.T) {
	t.Parallel()
	file := record(t, service())
	changed := service()
	changed.OnEcho = func(ctx context.Context, req *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		info, _ := connect.CallInfoForServerContext(ctx)
		info.ResponseHeader().Set("X-Header", "other")
		return &testv1.EchoResponse{Text: "h", Number: 8}, nil
	}
	client := connectumtest.Client(t, newServer(t, connectum.Config{}, changed))
	report := failure(t, func(tb testing.TB) { connectumtest.LoadRecording(t, file).Replay(tb, client) })
	for _, want := range []string{"call 1 ", `-   answer  {"text":"h","number":"7"}`, `+   answer  {"text":"h","number":"8"}`, "+   header  X-Header: other",
		"call 2 ", "-   error   not_found: no such thing"} {
		if !strings.Contains(report, want) {
			t.Errorf("report lacks %q:\n%s", want, report)
		}
	}
	report = failure(t, func(tb testing.TB) {
		connectumtest.LoadRecording(t, file).Replay(tb, client, connectumtest.IgnoringHeaders("x-header", "X-Trailer"), connectumtest.IgnoringFields("number"))
	})
	if strings.Contains(report, "call 1 ") || !strings.Contains(report, "call 2 ") {
		t.Errorf("with what differs ignored: report\n%s", report)
	}
	if report := failure(t, func(tb testing.TB) { new(connectumtest.Recording).Replay(tb, client) }); !strings.Contains(report, "no call to replay") {
		t.Errorf("nothing to replay: report %q", report)
	}
}

func TestARecordingReplaysAsAFakeServer(t *testing.T) {
	t.Parallel()
	file := record(t, service())
	fake := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	if err := connectumtest.LoadRecording(t, file).Register(fake.RPC()); err != nil {
		t.Fatal(err)
	}
	connectumtest.EachBidiDoor(t, fake, func(t *testing.T, client *connect.Client) {
		connectumtest.LoadRecording(t, file).Replay(t, client)
		_, err := testv1connect.NewTestServiceClient(client).Echo(t.Context(), &testv1.EchoRequest{Text: "never asked"})
		connectumtest.WantError(t, err, connect.CodeFailedPrecondition, connectumtest.Containing("no recorded call of /connectum.test.v1.TestService/Echo"))
	})
}

func TestARecordingIsBounded(t *testing.T) {
	t.Parallel()
	rec := &connectumtest.Recording{MaxCalls: 2}
	client := connectumtest.Client(t, newServer(t, connectum.Config{Interceptors: []connectum.Interceptor{rec.Interceptor()}}, testservice.Service{}))
	for range 3 {
		if err := echo(t, client); err != nil {
			t.Error(err)
		}
	}
	if n := len(rec.Calls()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}

	rec = new(connectumtest.Recording)
	client = connectumtest.Client(t, newServer(t, connectum.Config{Interceptors: []connectum.Interceptor{rec.Interceptor()}}, testservice.Service{}))
	stream, err := testv1connect.NewTestServiceClient(client).Count(t.Context(), &testv1.CountRequest{Count: 1200})
	for err == nil {
		_, err = stream.Receive()
	}
	if got := rec.Calls()[0]; !got.Truncated || len(got.Responses) > 1001 {
		t.Errorf("a long stream: truncated %v, %d responses", got.Truncated, len(got.Responses))
	}
}

func TestWrongRecordingsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"procedure": "/no.such.Service/Method"}]`:                                                                                            "import the generated code",
		`[{"procedure": "/connectum.test.v1.TestService/Echo", "requests": [{"nope": 1}]}]`:                                                     "nope",
		`[{"procedure": "/connectum.test.v1.TestService/Echo", "errors": {}}]`:                                                                  "errors",
		`[{"procedure": "/connectum.test.v1.TestService/Echo", "error": {"code": "nope"}}]`:                                                     "nope",
		`[{"procedure": "/connectum.test.v1.TestService"}]`:                                                                                     "is no method",
		`[{"procedure": "/connectum.test.v1.TestService/Echo", "error": {"code": "aborted", "details": [{"type": "no.Such", "message": {}}]}}]`: "not found",
	} {
		file := filepath.Join(t.TempDir(), "calls.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if report := failure(t, func(tb testing.TB) { connectumtest.LoadRecording(tb, file) }); !strings.Contains(report, want) {
			t.Errorf("%s: report %q, want %q", text, report, want)
		}
	}
}

// secretFile is a service whose messages have fields with debug_redact. It is
// registered before any test runs, as generated code is: protovalidate walks the
// registry while it looks files up in it, which a writer beside it would lock
// for ever.
var secretFile = func() protoreflect.FileDescriptor {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(`
		name: "secret/v1/secret.proto" package: "secret.v1" syntax: "proto3" dependency: "google/protobuf/any.proto"
		enum_type { name: "Kind"
			value { name: "KIND_UNSPECIFIED" number: 0 } value { name: "KIND_SPY" number: 1 options { debug_redact: true } } }
		message_type { name: "Login"
			field { name: "user" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "user" }
			field { name: "password" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "password" options { debug_redact: true } }
			field { name: "others" number: 3 type: TYPE_MESSAGE type_name: ".secret.v1.Login" label: LABEL_REPEATED json_name: "others" }
			field { name: "by_name" number: 4 type: TYPE_MESSAGE type_name: ".secret.v1.Login.ByNameEntry" label: LABEL_REPEATED json_name: "byName" }
			field { name: "box" number: 5 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL json_name: "box" }
			field { name: "kind" number: 6 type: TYPE_ENUM type_name: ".secret.v1.Kind" label: LABEL_OPTIONAL json_name: "kind" }
			nested_type { name: "ByNameEntry" options { map_entry: true }
				field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
				field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".secret.v1.Login" label: LABEL_OPTIONAL json_name: "value" } } }
		service { name: "SecretService" method { name: "Enter" input_type: ".secret.v1.Login" output_type: ".secret.v1.Login" } }
	`), &file); err != nil {
		panic(err)
	}
	fd, err := protodesc.NewFile(&file, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	if err := errors.Join(protoregistry.GlobalFiles.RegisterFile(fd), protoregistry.GlobalTypes.RegisterMessage(dynamicpb.NewMessageType(fd.Messages().Get(0)))); err != nil {
		panic(err)
	}
	return fd
}()

func TestARecordingLeavesOutWhatIsMarkedWithDebugRedact(t *testing.T) {
	t.Parallel()
	login := secretFile.Messages().Get(0)
	parse := func(text string) proto.Message {
		msg := dynamicpb.NewMessage(login)
		if err := prototext.Unmarshal([]byte(text), msg); err != nil {
			t.Fatal(err)
		}
		return msg
	}
	request := parse(`user: "a" password: "hunter2" kind: KIND_SPY
		others { user: "b" password: "hunter2" } by_name { key: "c" value { password: "hunter2" } }
		box { [type.googleapis.com/secret.v1.Login] { user: "d" password: "hunter2" } }`)
	answer := parse(`user: "e" password: "hunter2"`)
	rec := new(connectumtest.Recording)
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), Interceptors: []connectum.Interceptor{rec.Interceptor()}})
	connectumtest.Script{"Enter": connectumtest.Answer(answer)}.Register(srv.RPC(), secretFile.Services().Get(0))
	client := connectumtest.Client(t, srv)
	enter := connect.Spec{Procedure: "/secret.v1.SecretService/Enter", Schema: secretFile.Services().Get(0).Methods().Get(0)}
	if err := client.CallUnary(t.Context(), enter, request, dynamicpb.NewMessage(login)); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := rec.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "hunter2") || strings.Contains(text.String(), "SPY") {
		t.Errorf("a secret is in the file:\n%s", &text)
	}
	for _, want := range []string{`"user": "d"`, `"request 1: password"`, `"request 1: others[0].password"`, `"request 1: by_name[c].password"`,
		`"request 1: box.password"`, `"request 1: kind"`, `"response 1: password"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the file lacks %s:\n%s", want, &text)
		}
	}
	rec.Replay(t, client)
	fake := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	if err := rec.Register(fake.RPC()); err != nil {
		t.Fatal(err)
	}
	res := dynamicpb.NewMessage(login)
	if err := connectumtest.Client(t, fake).CallUnary(t.Context(), enter, request, res); err != nil || !proto.Equal(res, parse(`user: "e"`)) {
		t.Errorf("the fake, asked with the secrets, answers %v, %v", res, err)
	}
}
