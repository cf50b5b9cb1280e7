package validate_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/validate"
)

// Behaviours 95: valid passes, a violation is invalid_argument with details, a
// bad message in the middle of a stream is refused. Behind every door.
func TestRequestsAreHeldToTheirRules(t *testing.T) {
	t.Parallel()
	srv := connectumtest.Start(t, serve(t, service{}, validate.Config{}))
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		each := srv.EachDoor
		if kind == connect.StreamTypeBidi {
			each = srv.EachBidiDoor
		}
		each(t, func(t *testing.T, client *connect.Client) {
			if texts, err := converse(t.Context(), client, kind, "a", "b"); err != nil || len(texts) == 0 {
				t.Errorf("valid: %q, %v", texts, err)
			}
			names := []string{""}
			if kind&connect.StreamTypeClient != 0 {
				names = []string{"a", "", "b"}
			}
			texts, err := converse(t.Context(), client, kind, names...)
			if kind == connect.StreamTypeBidi {
				connectumtest.Want(t, texts, []string{"a"})
			}
			connectumtest.WantError(t, err, connect.CodeInvalidArgument,
				connectumtest.Containing("invalid request: name: "), connectumtest.Containing("[string.min_len]"),
				connectumtest.WithDetail(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{
					Field: "name", Description: "must be at least 1 characters", Reason: "STRING_MIN_LEN",
				}}}))
			violations, ok := connectumtest.Detail[*validatepb.Violations](err)
			if !ok || len(violations.GetViolations()) != 1 || violations.GetViolations()[0].GetRuleId() != "string.min_len" {
				t.Errorf("violations: %v", violations)
			}
		})
	})
}

// The control: without validation the same messages reach the handler.
func TestWithoutValidationAnythingPasses(t *testing.T) {
	t.Parallel()
	srv := with(t, service{})
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		if _, err := converse(t.Context(), connectumtest.Client(t, srv), kind, ""); err != nil {
			t.Error(err)
		}
	})
}

// Behaviours 95: several violations, in the order of the fields.
func TestAllViolationsAreToldInOrder(t *testing.T) {
	t.Parallel()
	client := clientOf(t, serve(t, service{}, validate.Config{}))
	_, err := client.Put(t.Context(), &rulesv1.PutRequest{Count: 2000, Tags: []string{"x", "", ""}})
	connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing("; and 1 more"))
	got, _ := connectumtest.Detail[*errdetails.BadRequest](err)
	var fields []string
	for _, v := range got.GetFieldViolations() {
		fields = append(fields, v.GetField()+" "+v.GetReason())
	}
	connectumtest.Want(t, fields, []string{"name STRING_MIN_LEN", "count INT32_LTE", "tags[1] STRING_MIN_LEN", "tags[2] STRING_MIN_LEN"})
}

// A refusal travels in headers: whatever a client sends, it stays small.
func TestRefusalsStaySmall(t *testing.T) {
	t.Parallel()
	srv := connectumtest.Start(t, serve(t, service{}, validate.Config{}))
	srv.EachDoor(t, func(t *testing.T, c *connect.Client) {
		client := rulestestv1connect.NewRuleServiceClient(c)
		for name, c := range map[string]struct{ tags, told int }{
			"many elements": {1000, 32},
			"very many":     {200_000, 1}, // of over 8 KiB the first violation is enough
		} {
			_, err := client.Put(t.Context(), &rulesv1.PutRequest{Name: "a", Tags: make([]string, c.tags)})
			if got, _ := connectumtest.Detail[*errdetails.BadRequest](err); len(got.GetFieldViolations()) != c.told {
				t.Errorf("%s: %d violations are told, want %d", name, len(got.GetFieldViolations()), c.told)
			}
			e := connectumtest.WantError(t, err, connect.CodeInvalidArgument)
			size := len(e.Message())
			for _, d := range e.Details() {
				size += len(d.Value)
			}
			if size > 10<<10 || len(e.Details()) != 2 {
				t.Errorf("%s: a refusal of %d bytes with %d details", name, size, len(e.Details()))
			}
		}
		key := strings.Repeat("k", 100_000)
		_, err := client.Vault(t.Context(), &rulesv1.VaultRequest{Owner: "a", Labels: map[string]string{key: ""}})
		if e := connectumtest.WantError(t, err, connect.CodeInvalidArgument); len(e.Message()) > 1<<10 || len(e.Details()) != 2 || len(e.Details()[1].Value) > 1<<10 {
			t.Errorf("a long key makes a long refusal: %d bytes", len(e.Message()))
		}
	})
}

func TestProceduresWithoutRulesAreLeftAlone(t *testing.T) {
	t.Parallel()
	srv := serve(t, service{}, validate.Config{})
	for method, want := range map[string]bool{
		"Put": true, "Collect": true, "List": true, "Talk": true, "Deep": true, "Wrap": true, "Vault": true,
		"Plain": false, // its types refer to each other in circles, and one field is ignored with all below it
	} {
		chain := srv.Chain("/connectum.rules.test.v1.RuleService/" + method)
		if got := slices.Contains(chain, "validate"); got != want {
			t.Errorf("%s: %v", method, chain)
		}
	}
	if chain := serve(t, service{}, validate.Config{Responses: true}).Chain("/connectum.rules.test.v1.RuleService/Plain"); slices.Contains(chain, "validate") {
		t.Errorf("Plain with responses: %v", chain)
	}
	_, err := clientOf(t, srv).Deep(t.Context(), &rulesv1.DeepRequest{Children: map[string]*rulesv1.DeepRequest{
		"a": {Leaves: []*rulesv1.Leaf{{}}},
	}})
	connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing(`children["a"].leaves[0].choice: `))
}

// protovalidate v1.4.0 panics on the rules of elements that are wrappers.
func TestRulesOfWrappedElementsHold(t *testing.T) {
	t.Parallel()
	good := &rulesv1.WrapRequest{Counts: []*wrapperspb.Int32Value{wrapperspb.Int32(1)}, Texts: map[string]*wrapperspb.StringValue{"k": wrapperspb.String("v")}, One: wrapperspb.Int32(1)}
	client := clientOf(t, serve(t, service{}, validate.Config{}))
	if _, err := client.Wrap(t.Context(), good); err != nil {
		t.Error(err)
	}
	for path, bad := range map[string]*rulesv1.WrapRequest{
		"counts[0]":  {Counts: []*wrapperspb.Int32Value{wrapperspb.Int32(0)}},
		`texts["k"]`: {Texts: map[string]*wrapperspb.StringValue{"k": wrapperspb.String("")}},
		"one":        {One: wrapperspb.Int32(0)},
	} {
		_, err := client.Wrap(t.Context(), bad)
		connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing(path))
	}
	// The control: there is something to go around.
	defer func() {
		if recover() == nil {
			t.Error("protovalidate no longer panics on wrapped elements: the way around it can go")
		}
	}()
	_ = protovalidate.Validate(good)
}

func TestRulesThatDoNotCompileAreAStartError(t *testing.T) {
	t.Parallel()
	text := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	for name, c := range map[string]struct {
		rules *validatepb.FieldRules
		want  string
	}{
		"expression": {validatepb.FieldRules_builder{Cel: []*validatepb.Rule{
			validatepb.Rule_builder{Id: proto.String("broken"), Expression: proto.String("this +")}.Build(),
		}}.Build(), "Syntax error"},
		"type": {validatepb.FieldRules_builder{Int32: validatepb.Int32Rules_builder{Gt: proto.Int32(0)}.Build()}.Build(), "expected rule"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := dynamic(t, &descriptorpb.FieldDescriptorProto{Type: text}, c.rules)
			srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{validate.New(validate.Config{})}})
			srv.RPC().Register(connect.Method{Spec: spec, Handler: connect.ServerFunc(connectumtest.Hang())})
			err := srv.Check()
			for _, want := range []string{"/acme.v1.S/M", "the rules of acme.v1.Inner do not compile", c.want} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("start error %v, want %q in it", err, want)
				}
			}
		})
	}
}

// What cannot be validated does not pass, and its client learns nothing.
func TestValidationThatCannotRunIsAnInternalError(t *testing.T) {
	t.Parallel()
	armed := false
	now := protovalidate.WithNowFunc(func() *timestamppb.Timestamp {
		if armed {
			panic("the clock is broken")
		}
		return timestamppb.Now()
	})
	for name, c := range map[string]struct {
		spec connect.Spec
		msg  func(protoreflect.MessageDescriptor) proto.Message
		why  string
	}{
		"panic": {
			dynamic(t, &descriptorpb.FieldDescriptorProto{
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".google.protobuf.Timestamp"),
			}, validatepb.FieldRules_builder{Timestamp: validatepb.TimestampRules_builder{LtNow: proto.Bool(true)}.Build()}.Build()),
			func(desc protoreflect.MessageDescriptor) proto.Message {
				return one(desc, func(inner protoreflect.Message, fd protoreflect.FieldDescriptor) { inner.Mutable(fd) })
			}, "the clock is broken",
		},
		"runtime error": {
			dynamic(t, &descriptorpb.FieldDescriptorProto{
				Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
			}, validatepb.FieldRules_builder{Cel: []*validatepb.Rule{
				validatepb.Rule_builder{Id: proto.String("ordered"), Expression: proto.String("this[0] < this[1]")}.Build(),
			}}.Build()),
			func(desc protoreflect.MessageDescriptor) proto.Message {
				return one(desc, func(inner protoreflect.Message, fd protoreflect.FieldDescriptor) {
					inner.Mutable(fd).List().Append(protoreflect.ValueOfInt32(1))
				})
			}, "index",
		},
		"runtime error of a secret": {
			dynamic(t, &descriptorpb.FieldDescriptorProto{
				Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Options: &descriptorpb.FieldOptions{DebugRedact: proto.Bool(true)},
			}, validatepb.FieldRules_builder{Cel: []*validatepb.Rule{
				validatepb.Rule_builder{Id: proto.String("number"), Expression: proto.String("int(this) > 0")}.Build(),
			}}.Build()),
			func(desc protoreflect.MessageDescriptor) proto.Message {
				return one(desc, func(inner protoreflect.Message, fd protoreflect.FieldDescriptor) {
					inner.Set(fd, protoreflect.ValueOfString("hunter2"))
				})
			}, "the reason may hold what has debug_redact",
		},
	} {
		t.Run(name, func(t *testing.T) {
			desc := c.spec.Schema.(protoreflect.MethodDescriptor).Input()
			logs := connectumtest.RecordLogs(t)
			srv := connectum.New(connectum.Config{Logger: logs.Logger(), Interceptors: []connectum.Interceptor{
				validate.New(validate.Config{Options: []protovalidate.ValidatorOption{now}}),
			}})
			reached := 0
			srv.RPC().Register(connect.Method{Spec: c.spec, Handler: func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
				msg := dynamicpb.NewMessage(desc)
				if err := stream.Receive(msg); err != nil {
					return err
				}
				reached++
				return stream.Send(msg)
			}})
			if err := srv.Check(); err != nil {
				t.Fatal(err)
			}
			armed = true
			defer func() { armed = false }()
			err := connectumtest.Client(t, srv).CallUnary(t.Context(), c.spec, c.msg(desc), dynamicpb.NewMessage(desc))
			connectumtest.WantError(t, err, connect.CodeInternal, connectumtest.Matching("^internal error, id [a-z0-9]+$"))
			if reached != 0 {
				t.Error("the message reached the handler")
			}
			logs.Await(t, "call failed")
			if !strings.Contains(logs.String(), c.why) || strings.Contains(logs.String(), "hunter2") {
				t.Errorf("the log does not tell %q:\n%s", c.why, logs)
			}
		})
	}
}

func one(desc protoreflect.MessageDescriptor, set func(protoreflect.Message, protoreflect.FieldDescriptor)) proto.Message {
	msg := dynamicpb.NewMessage(desc)
	l := msg.Mutable(desc.Fields().Get(0)).List()
	set(l.AppendMutable().Message(), desc.Fields().Get(0).Message().Fields().Get(0))
	return msg
}

// Also without a schema, as methods registered by hand may be.
func TestMethodsWithoutASchemaAreValidatedByTheirMessages(t *testing.T) {
	t.Parallel()
	for _, msg := range []proto.Message{&rulesv1.PutRequest{}, &rulesv1.PlainRequest{}} {
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{validate.New(validate.Config{})}})
		spec := connect.Spec{Procedure: "/acme.v1.S/ByHand"}
		srv.RPC().Register(connect.Method{Spec: spec, Handler: func(_ context.Context, _ connect.Spec, stream connect.ServerStream) error {
			got := msg.ProtoReflect().New().Interface()
			if err := stream.Receive(got); err != nil {
				return err
			}
			return stream.Send(got)
		}})
		err := connectumtest.Client(t, srv).CallUnary(t.Context(), spec, msg, msg.ProtoReflect().New().Interface())
		if _, plain := msg.(*rulesv1.PlainRequest); plain {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		connectumtest.WantError(t, err, connect.CodeInvalidArgument)
	}
}

func TestAHandlerThatGoesOnDoesNotHideARefusal(t *testing.T) {
	t.Parallel()
	client := connectumtest.Client(t, serve(t, service{ignores: true}, validate.Config{}))
	for _, kind := range []connect.StreamType{connect.StreamTypeClient, connect.StreamTypeBidi} {
		_, err := converse(t.Context(), client, kind, "a", "", "b")
		connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing("name"))
	}
}

func TestResponsesAreHeldToTheirRulesWhenAsked(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		for _, ignores := range []bool{false, true} {
			logs := connectumtest.RecordLogs(t)
			srv := connectum.New(connectum.Config{Logger: logs.Logger(), Interceptors: []connectum.Interceptor{validate.New(validate.Config{Responses: true})}})
			rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), service{answer: long, ignores: ignores})
			texts, err := converse(t.Context(), connectumtest.Client(t, srv), kind, "a")
			if slices.Contains(texts, long) {
				t.Error("the response was sent")
			}
			connectumtest.WantError(t, err, connect.CodeInternal, connectumtest.Matching("^internal error, id [a-z0-9]+$"))
			if !strings.Contains(logs.String(), "breaks rules: text: must be at most 64 characters") {
				t.Errorf("the log does not tell the violation:\n%s", logs)
			}
		}
		// The control.
		if texts, err := converse(t.Context(), connectumtest.Client(t, serve(t, service{answer: long}, validate.Config{})), kind, "a"); err != nil || !slices.Contains(texts, long) {
			t.Errorf("requests alone: %q, %v", texts, err)
		}
	})
}

// The first call is as cheap as any other: nothing is compiled on it. A message
// set takes some thousands of allocations to compile.
func TestTheFirstCallCompilesNothing(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	msg := &rulesv1.VaultRequest{Owner: "a", Password: secret, Purse: &rulesv1.Purse{Pin: secret}, Any: &anypb.Any{}}
	srv := serve(t, service{}, validate.Config{})
	if err := srv.Check(); err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, srv)
	first := mallocs(func() {
		if _, err := client.Vault(t.Context(), msg); err != nil {
			t.Error(err)
		}
	})
	if first > 1500 {
		t.Errorf("the first call made %d allocations", first)
	}
	// The control: the count tells one that compiles.
	v, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	if lazy := mallocs(func() { _ = v.Validate(msg) }); lazy < 3000 {
		t.Errorf("compiling made %d allocations: the bound above proves nothing", lazy)
	}
}

func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}
