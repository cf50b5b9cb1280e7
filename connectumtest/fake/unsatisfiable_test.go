package fake_test

import (
	"errors"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/connectumtest/fake"
	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

// message builds a message with one field, value, under rules that buf would
// not lint.
func message(t *testing.T, kind descriptorpb.FieldDescriptorProto_Type, rules string) protoreflect.MessageDescriptor {
	t.Helper()
	parsed := new(validate.FieldRules)
	if err := prototext.Unmarshal([]byte(rules), parsed); err != nil {
		t.Fatal(err)
	}
	options := new(descriptorpb.FieldOptions)
	proto.SetExtension(options, validate.E_Field, parsed)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("one.proto"), Package: proto.String("one"), Syntax: proto.String("proto3"),
		Dependency: []string{"buf/validate/validate.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("One"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("value"), Number: proto.Int32(1), Type: kind.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Options: options,
			}},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Messages().Get(0)
}

const (
	text   = descriptorpb.FieldDescriptorProto_TYPE_STRING
	int32s = descriptorpb.FieldDescriptorProto_TYPE_INT32
	bools  = descriptorpb.FieldDescriptorProto_TYPE_BOOL
)

func TestUnsatisfiableRulesAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind  descriptorpb.FieldDescriptorProto_Type
		rules string
		rule  string // the id to be named
	}{
		"lengths":     {text, `string { min_len: 5 max_len: 4 }`, "string.m"},
		"const in":    {text, `string { const: "a" in: "b" }`, "string."},
		"pattern":     {text, `string { pattern: "^a$" min_len: 2 }`, "string."},
		"no match":    {text, `string { pattern: "a^b" }`, "string.pattern"},
		"format":      {text, `string { email: true max_len: 2 }`, "string."},
		"empty range": {int32s, `int32 { gt: 5 lte: 5 }`, "int32.gt_lte"},
		"all out":     {bools, `bool { const: true } cel { id: "no" message: "no" expression: "!this" }`, ""},
		"cel":         {int32s, `cel { id: "odd.and.even" message: "no number" expression: "this % 2 == 0 && this % 2 == 1" }`, "odd.and.even"},
		"hidden":      {int32s, `cel { id: "sum" message: "a checksum" expression: "this * this % 1000003 == 5 && this * 7 % 1000033 == 11" }`, "sum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			msg, err := fake.New(1).Message(message(t, c.kind, c.rules))
			var unsatisfied *fake.Error
			if !errors.As(err, &unsatisfied) {
				t.Fatalf("got %v, %v", msg, err)
			}
			v := unsatisfied.Violations[0]
			if v.Path != "value" || !strings.HasPrefix(v.Rule, c.rule) || v.Text == "" {
				t.Errorf("got %+v", v)
			}
			if !strings.Contains(err.Error(), "value: ") || !strings.Contains(err.Error(), "["+c.rule) {
				t.Errorf("the error does not say which rule of which field: %v", err)
			}
		})
	}
}

func TestRulesThatDoNotCompileAreTheValidatorsError(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		`string { pattern: "(" }`,
		`cel { id: "x" message: "x" expression: "this.nothing()" }`,
		`int32 { gt: 1 }`,
	} {
		_, err := fake.New(1).Message(message(t, text, rules))
		if _, ok := errors.AsType[*protovalidate.CompilationError](err); !ok {
			t.Errorf("%s: got %v", rules, err)
		}
	}
}

func TestAFailedFillLeavesTheMessageAlone(t *testing.T) {
	t.Parallel()
	msg := &faketestv1.Broken{Name: "before"}
	err := fake.New(1).Fill(msg)
	var unsatisfied *fake.Error
	if !errors.As(err, &unsatisfied) || unsatisfied.Violations[0].Rule != "broken" || unsatisfied.Violations[0].Path != "" {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(err.Error(), "the message: ") {
		t.Errorf("got %v", err)
	}
	if msg.GetName() != "before" {
		t.Errorf("changed to %v", msg)
	}
}

func TestANilMessageIsAnError(t *testing.T) {
	t.Parallel()
	if err := fake.New(1).Fill((*faketestv1.User)(nil)); err == nil {
		t.Error("no error")
	}
}
