package validate_test

import (
	"strings"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/validate"
)

func methodOf(kind connect.StreamType) protoreflect.MethodDescriptor {
	return rulesv1.File_connectum_rules_test_v1_rules_proto.Services().Get(0).Methods().Get(
		map[connect.StreamType]int{connect.StreamTypeUnary: 0, connect.StreamTypeClient: 1, connect.StreamTypeServer: 2, connect.StreamTypeBidi: 3}[kind])
}

// The remote and the in-process transport alike, for every kind.
func TestClientsDoNotSendWhatBreaksRules(t *testing.T) {
	t.Parallel()
	connectumtest.NoLeaks(t)
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		method := methodOf(kind)
		bad := dynamicpb.NewMessage(method.Input())
		got := connectumtest.CallClient(t, validate.NewClient(validate.Config{}), connectumtest.Exchange{Method: method, Requests: []proto.Message{bad}})
		e := connectumtest.WantError(t, got.Err, connect.CodeInvalidArgument, connectumtest.Containing("invalid request: name: "))
		if !e.IsRemote() {
			t.Error("a handler that returns the error would pass it on to its own client")
		}
		if len(got.Received) > 0 {
			t.Errorf("was sent: %v", got.Received)
		}
		// The controls: a good one arrives, and without validation the bad one does.
		if got := connectumtest.CallClient(t, validate.NewClient(validate.Config{Responses: true}), connectumtest.Exchange{Method: method}); got.Err != nil || len(got.Received) == 0 {
			t.Errorf("a valid request: %v, %d received", got.Err, len(got.Received))
		}
		none := func(next connect.ClientFunc) connect.ClientFunc { return next }
		if got := connectumtest.CallClient(t, none, connectumtest.Exchange{Method: method, Requests: []proto.Message{bad}}); got.Err != nil || len(got.Received) != 1 {
			t.Errorf("without validation: %v, %d received", got.Err, len(got.Received))
		}
	})
}

func TestClientsRefuseAnswersThatBreakRulesWhenAsked(t *testing.T) {
	t.Parallel()
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		method := methodOf(kind)
		answer := dynamicpb.NewMessage(method.Output())
		answer.Set(method.Output().Fields().ByName("text"), protoreflect.ValueOfString(strings.Repeat("x", 65)))
		x := connectumtest.Exchange{Method: method, Handler: connectumtest.Answer(answer)}
		got := connectumtest.CallClient(t, validate.NewClient(validate.Config{Responses: true}), x)
		connectumtest.WantError(t, got.Err, connect.CodeInternal, connectumtest.Containing("breaks the rules"))
		if got := connectumtest.CallClient(t, validate.NewClient(validate.Config{}), x); got.Err != nil || len(got.Answers) == 0 {
			t.Errorf("requests alone: %v", got.Err)
		}
	})
}

func TestAClientFailsCallsWhoseRulesDoNotCompile(t *testing.T) {
	t.Parallel()
	spec := dynamic(t, &descriptorpb.FieldDescriptorProto{Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()},
		validatepb.FieldRules_builder{CelExpression: []string{"this +"}}.Build())
	got := connectumtest.CallClient(t, validate.NewClient(validate.Config{}), connectumtest.Exchange{
		Method: spec.Schema.(protoreflect.MethodDescriptor), Requests: []proto.Message{dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Input())},
		Handler: connectumtest.Hang(),
	})
	connectumtest.WantError(t, got.Err, connect.CodeInternal, connectumtest.Containing("do not compile"))
}
