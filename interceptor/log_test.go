package interceptor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
)

// Behaviours 96: a line for each call, with what is known of it.
func TestTheLineOfACallTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, answer("hello"), interceptor.Log(interceptor.LogConfig{Logger: logs.Logger()}))
	everywhere(t, srv, func(t *testing.T, kind connect.StreamType, client *connect.Client) {
		before := len(logs.Records())
		ctx, info := connect.NewClientContext(t.Context())
		if _, err := call(ctx, client, kind, "a"); err != nil {
			t.Fatal(err)
		}
		checkLog(t, logs, before, scenario{name: "fine"}, nil)
		line := logs.Records()[len(logs.Records())-1].Attrs
		door := fmt.Sprint(line["door"])
		if inproc := strings.HasSuffix(t.Name(), "in-process"); inproc != (door == "inproc") || line["procedure"] != servicePath+kinds[kind] || line["duration"] == nil {
			t.Errorf("%v", line)
		}
		if door == "inproc" {
			if line["peer"] != nil || line["sent_bytes"] != nil || line["protocol"] != nil {
				t.Errorf("in-process calls have no wire: %v", line)
			}
		} else if !strings.HasPrefix(fmt.Sprint(line["peer"]), "127.0.0.1:") || line["protocol"] != info.Protocol || line["received_bytes"] == int64(0) || line["sent_bytes"] == int64(0) {
			t.Errorf("%v", line)
		}
		if kind == connect.StreamTypeUnary {
			if line["sent"] != nil {
				t.Errorf("a unary call counts messages: %v", line)
			}
		} else if line["received"] != int64(1) || line["sent"] != int64(1) {
			t.Errorf("messages: %v", line)
		}
	})
}

func TestLevelsFollowTheCode(t *testing.T) {
	t.Parallel()
	custom := func(code connect.Code) slog.Level { return slog.Level(code) }
	for code := connect.Code(0); code <= connect.CodeUnauthenticated; code++ {
		step := answer("x")
		if code != 0 {
			step = fail(connect.NewError(code, "x"))
		}
		for _, level := range []func(connect.Code) slog.Level{nil, custom} {
			logs := connectumtest.RecordLogs(t)
			_, _ = call(t.Context(), connectumtest.Client(t, serve(logs, step, interceptor.Log(interceptor.LogConfig{Logger: logs.Logger(), Level: level}))), connect.StreamTypeUnary, "a")
			want := slog.LevelWarn
			switch code {
			case 0, connect.CodeCanceled, connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodeAlreadyExists, connect.CodeUnauthenticated:
				want = slog.LevelInfo
			case connect.CodeUnknown, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeDataLoss:
				want = slog.LevelError
			}
			if level != nil {
				want = custom(code)
			}
			if lines := logs.Find("call"); len(lines) == 0 || lines[len(lines)-1].Level != want {
				t.Errorf("%v: %v, want %v", code, lines, want)
			}
		}
	}
}

// A panic passes through; without Errors too there is a line.
func TestAPanicHasALine(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := serve(logs, throw("secret"), interceptor.Log(interceptor.LogConfig{Logger: logs.Logger()}))
	_, err := call(t.Context(), connectumtest.Client(t, srv), connect.StreamTypeUnary, "a")
	connectumtest.WantError(t, err, connect.CodeInternal)
	if line := logs.Await(t, "call"); line.Attrs["code"] != "internal" || line.Attrs["error"] != "panic" {
		t.Errorf("%v", line)
	}
}

// The line is as a Logger writes it: with a source, and not below its level.
func TestTheLineOfACallHasASource(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{AddSource: true, Level: slog.LevelWarn}))
	quiet := func(code connect.Code) slog.Level {
		return map[connect.Code]slog.Level{connect.CodeNotFound: slog.LevelWarn}[code]
	}
	link, err := interceptor.Log(interceptor.LogConfig{Logger: log, Level: quiet}).Bind(connect.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	serve := func(f func() error) {
		defer func() { _ = recover() }()
		_ = link(func(context.Context, connect.Spec, connect.ServerStream) error { return f() })(t.Context(), connect.Spec{}, new(connectumtest.ServerStream))
	}
	serve(func() error { panic("at a level that is off") })
	if out.Len() > 0 {
		t.Errorf("written: %s", &out)
	}
	serve(func() error { return connect.NewError(connect.CodeNotFound, "no such user") })
	var line struct{ Source slog.Source }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || !strings.HasSuffix(line.Source.File, "/interceptor/log.go") {
		t.Errorf("%s: %v", &out, err)
	}
}

// closed is a handler of logs that is off, and fails the test when it is used.
type closed struct{ t *testing.T }

func (closed) Enabled(context.Context, slog.Level) bool { return false }
func (c closed) Handle(context.Context, slog.Record) error {
	c.t.Error("written")
	return nil
}
func (c closed) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c closed) WithGroup(string) slog.Handler      { return c }

// Nothing is computed for a level that is off: the stream is not even wrapped.
func TestALogThatIsOffCostsNothing(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	link := interceptor.Log(interceptor.LogConfig{Messages: true, Logger: slog.New(closed{t})})
	bound, err := link.Bind(connect.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	stream := new(connectumtest.ServerStream)
	serve := bound(func(_ context.Context, _ connect.Spec, got connect.ServerStream) error {
		if got != stream {
			t.Error("the stream is wrapped")
		}
		return nil
	})
	if n := testing.AllocsPerRun(100, func() { _ = serve(t.Context(), connect.Spec{StreamType: connect.StreamTypeBidi}, stream) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// vault is a message with secrets wherever a message can have them.
func vault(t testing.TB) *rulesv1.VaultRequest {
	t.Helper()
	box := func(msg proto.Message) *anypb.Any {
		out, err := anypb.New(msg)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	loose, err := structpb.NewStruct(map[string]any{"Token": secret, "color": "blue", "deep": []any{map[string]any{"token": secret}}})
	if err != nil {
		t.Fatal(err)
	}
	purse := &rulesv1.Purse{Label: "visible", Pin: secret}
	msg := &rulesv1.VaultRequest{
		Owner: "Ada", Password: secret, Keys: map[string]string{secret: secret},
		Labels: map[string]string{"token": secret, "shape": "round"},
		Purse:  purse, Purses: []*rulesv1.Purse{purse, purse}, Named: map[string]*rulesv1.Purse{"first": purse},
		Any: box(box(&rulesv1.VaultRequest{Owner: "inside", Password: secret, Any: &anypb.Any{TypeUrl: "type.googleapis.com/no.Such", Value: []byte(secret)}})),
		// Enums are told by number: one value is a secret.
		Door: rulesv1.Door_DOOR_HIDDEN, Doors: []rulesv1.Door{rulesv1.Door_DOOR_FRONT, rulesv1.Door_DOOR_HIDDEN},
		Loose: loose, Blob: []byte(secret), Code: 4242424242, Note: secret,
	}
	msg.ProtoReflect().SetUnknown([]byte("\xa2\x06\x07" + secret)) // field 100
	return msg
}

const secret = "hunter2"

// Behaviours 97: nothing marked debug_redact, and nothing named in Mask, is
// written, wherever it stands. The message itself is not touched.
func TestMessagesAreWrittenWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	run := func(mask []string) (string, *rulesv1.VaultRequest) {
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var got *rulesv1.VaultRequest
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{interceptor.Log(interceptor.LogConfig{Messages: true, Mask: mask, Logger: log})}})
		connectumtest.Script{"Vault": func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
			got = new(rulesv1.VaultRequest)
			if err := stream.Receive(got); err != nil {
				return err
			}
			return stream.Send(&rulesv1.VaultResponse{Text: "fine", Token: secret})
		}}.Register(srv.RPC(), rulesService)
		if _, err := rulestestv1connect.NewRuleServiceClient(connectumtest.Client(t, srv)).Vault(t.Context(), vault(t)); err != nil {
			t.Fatal(err)
		}
		return out.String(), got
	}
	masks := []string{"TOKEN", "connectum.rules.test.v1.VaultRequest.note"}
	text, got := run(masks)
	for _, hidden := range []string{secret, "4242424242", "DOOR_HIDDEN", "aHVudGVyMg"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s is in the log:\n%s", hidden, text)
		}
	}
	for _, shown := range []string{`"owner":"Ada"`, "visible", "round", "blue", "inside", `"text":"fine"`} {
		if !strings.Contains(strings.ReplaceAll(text, " ", ""), shown) {
			t.Errorf("%s is not in the log:\n%s", shown, text)
		}
	}
	for line := range strings.Lines(text) {
		var record struct {
			Msg     string
			Message json.RawMessage
			Masked  []string
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if record.Msg == "received message" {
			for _, path := range []string{"password", "purses[1].pin", `named["first"].pin`, `labels["token"]`, "keys", "blob", "code", "door", "doors", "any.value", `loose.fields["Token"]`} {
				if !strings.Contains(strings.Join(record.Masked, "\n"), path) {
					t.Errorf("%s is not among what was masked: %q", path, record.Masked)
				}
			}
		}
	}
	if want := vault(t); !proto.Equal(got, want) {
		t.Error("the handler's message was changed")
	}
	// The control: names are masked because they are named.
	if text, _ := run(nil); !strings.Contains(text, secret) {
		t.Error("without Mask the secrets without debug_redact are hidden too")
	}
}

// Behaviours 96: streams write each message.
func TestStreamsWriteEachMessage(t *testing.T) {
	t.Parallel()
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		logs := connectumtest.RecordLogs(t)
		got := connectumtest.Call(t, interceptor.Log(interceptor.LogConfig{Messages: true, Logger: logs.Logger()}), connectumtest.Exchange{Kind: kind})
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		if n := len(logs.Find("received message")); n != len(got.Received) {
			t.Errorf("%d lines for %d requests", n, len(got.Received))
		}
		if n := len(logs.Find("sent message")); n != len(got.Answers) {
			t.Errorf("%d lines for %d answers", n, len(got.Answers))
		}
		if line := logs.Find("received message")[0]; !strings.Contains(fmt.Sprintf("%s", line.Attrs["message"]), "request 1") {
			t.Errorf("%v", line)
		}
	})
}

func TestLargeAndStrangeMessagesAreNamed(t *testing.T) {
	t.Parallel()
	for want, msg := range map[string]any{
		"google.protobuf.StringValue of 20004 bytes":             wrapperspb.String(strings.Repeat("x", 20_000)),
		"not a protobuf message: int":                            7,
		"google.protobuf.Value that can't be shown":              new(structpb.Value),
		"google.protobuf.BytesValue that can't be shown":         wrapperspb.Bytes(make([]byte, 15<<10)),
		"connectum.rules.test.v1.PutRequest that can't be shown": &rulesv1.PutRequest{Name: "\xff"},
	} {
		logs := connectumtest.RecordLogs(t)
		bound, err := interceptor.Log(interceptor.LogConfig{Messages: true, Logger: logs.Logger()}).Bind(connect.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		_ = bound(func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error { return stream.Send(msg) })(
			t.Context(), connect.Spec{}, anything{})
		if line := logs.Await(t, "sent message"); !strings.Contains(fmt.Sprintf("%s", line.Attrs["message"]), want) {
			t.Errorf("%s, want %s", line.Attrs["message"], want)
		}
	}
}

// anything takes whatever is sent.
type anything struct{ connect.ServerStream }

func (anything) Send(any) error { return nil }

// What the log shows of a message never holds a secret, whatever else the
// message is.
// strict is a handler of logs that drops what comes with a context that has ended,
// as those do that send it somewhere.
type strict struct {
	slog.Handler
	dropped *int
}

func (s strict) WithAttrs(attrs []slog.Attr) slog.Handler {
	return strict{s.Handler.WithAttrs(attrs), s.dropped}
}

func (s strict) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Err() != nil {
		*s.dropped++
	}
	return s.Handler.Handle(ctx, r)
}

// The lines of a call that its client has left are written too.
func TestLinesOutliveTheCall(t *testing.T) {
	t.Parallel()
	logs, dropped := connectumtest.RecordLogs(t), 0
	log := slog.New(strict{logs.Logger().Handler(), &dropped})
	ctx, leave := context.WithCancel(t.Context())
	step := func(ctx context.Context, _ connect.Spec, _ connect.ServerStream) error {
		leave()
		<-ctx.Done()
		return errors.New("lost")
	}
	_ = connectumtest.Call(t, interceptor.Log(interceptor.LogConfig{Logger: log}), connectumtest.Exchange{Context: ctx, Handler: step})
	_ = connectumtest.Call(t, interceptor.Errors(interceptor.ErrorsConfig{Logger: log}), connectumtest.Exchange{Context: ctx, Handler: func(context.Context, connect.Spec, connect.ServerStream) error {
		panic("lost")
	}})
	if len(logs.Find("call")) != 1 || len(logs.Find("handler panicked")) != 1 || dropped != 0 {
		t.Errorf("%d lines came with a context that has ended, of\n%s", dropped, logs)
	}
}

func FuzzMessages(f *testing.F) {
	seed, err := proto.Marshal(vault(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, "token")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		msg := new(rulesv1.VaultRequest)
		if proto.Unmarshal(data, msg) != nil {
			return
		}
		const marker = "s3cr3t-marker"
		msg.Password, msg.Blob = marker, []byte(marker)
		msg.Keys = map[string]string{marker: marker}
		for _, p := range msg.GetPurses() {
			if p != nil {
				p.Pin = marker
			}
		}
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		bound, err := interceptor.Log(interceptor.LogConfig{Messages: true, Mask: []string{name}, Logger: log}).Bind(connect.Spec{})
		if err != nil {
			t.Fatal(err)
		}
		_ = bound(func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
			_ = stream.Send(msg)
			return errors.New("done")
		})(t.Context(), connect.Spec{}, anything{})
		if strings.Contains(out.String(), marker) || strings.Contains(out.String(), "czNjcjN0LW1hcmtlc") {
			t.Errorf("%s", &out)
		}
		if out.Len() > 64<<10 {
			t.Errorf("%d bytes", out.Len())
		}
	})
}
