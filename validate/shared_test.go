package validate_test

import (
	"runtime"
	"testing"
	"weak"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/validate"
)

// A validator of protovalidate takes ten thousand allocations and reads every
// proto file that is linked: one does for all servers and clients of a process.
func TestChainsShareOneValidator(t *testing.T) { //nolint:paralleltest // it counts the allocations of the process
	put := specOf(rulesv1.File_connectum_rules_test_v1_rules_proto.Services().ByName("RuleService").Methods().ByName("Put"))
	setUp := func(cfg validate.Config) uint64 {
		srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), Interceptors: []connectum.Interceptor{validate.New(cfg)}})
		srv.RPC().Register(connect.Method{Spec: put, Handler: connect.ServerFunc(connectumtest.Hang())})
		return mallocs(func() {
			if err := srv.Check(); err != nil {
				t.Fatal(err)
			}
		})
	}
	setUp(validate.Config{})
	if n := setUp(validate.Config{}); n > 3000 {
		t.Errorf("a further server made %d allocations", n)
	}
	// The control: options ask for a validator of their own.
	if n := setUp(validate.Config{Options: []protovalidate.ValidatorOption{protovalidate.WithFailFast()}}); n < 6000 {
		t.Errorf("one that does not share made %d allocations: the bound above proves nothing", n)
	}
}

// What all share lives as long as the process: types that a program has read, as
// a gateway does, again and again, are not kept by it.
func TestTypesThatAreNotLinkedAreLetGo(t *testing.T) {
	t.Parallel()
	// read returns something that is gone when the type is.
	read := func(check func(connect.Spec)) weak.Pointer[descriptorpb.FieldOptions] {
		out := make(chan weak.Pointer[descriptorpb.FieldOptions])
		go func() { // on a stack of its own, on which nothing stays behind
			spec := dynamic(t, &descriptorpb.FieldDescriptorProto{Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()},
				validatepb.FieldRules_builder{String: validatepb.StringRules_builder{MinLen: proto.Uint64(1)}.Build()}.Build())
			check(spec)
			inner := spec.Schema.(protoreflect.MethodDescriptor).Input().Fields().Get(0).Message()
			out <- weak.Make(inner.Fields().Get(0).Options().(*descriptorpb.FieldOptions))
		}()
		return <-out
	}
	gone := func(p weak.Pointer[descriptorpb.FieldOptions]) bool {
		for range 10 {
			if runtime.GC(); p.Value() == nil {
				return true
			}
		}
		return false
	}
	if !gone(read(func(spec connect.Spec) {
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{validate.New(validate.Config{})}})
		srv.RPC().Register(connect.Method{Spec: spec, Handler: connect.ServerFunc(connectumtest.Hang())})
		if err := srv.Check(); err != nil {
			t.Error(err)
		}
	})) {
		t.Error("a type outlives its server")
	}
	// The control: the validator of the process keeps what it has seen.
	if gone(read(func(spec connect.Spec) {
		_ = protovalidate.Validate(dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Input()))
	})) {
		t.Error("the process's validator lets types go: all may share it")
	}
}
