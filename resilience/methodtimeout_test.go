package resilience_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoimpl"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/resilience"
)

// timeoutOption is what protoc-gen-go would make of
//
//	extend google.protobuf.MethodOptions { google.protobuf.Duration timeout = 50001; }
var timeoutOption = &protoimpl.ExtensionInfo{
	ExtendedType: (*descriptorpb.MethodOptions)(nil), ExtensionType: (*durationpb.Duration)(nil), //nolint:staticcheck // as generated code does
	Field: 50001,                                               //nolint:staticcheck // as generated code does
	Name:  "test.timeout", Tag: "bytes,50001,opt,name=timeout", //nolint:staticcheck // as generated code does
}

// slowService is a service with a method of each kind, whose names are those of
// the kinds; option sets the options of each.
func slowService(t testing.TB, option func(kind connect.StreamType, options *descriptorpb.MethodOptions)) protoreflect.ServiceDescriptor {
	t.Helper()
	text := ".google.protobuf.StringValue"
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("SlowService")}
	for i, kind := range kinds {
		options := new(descriptorpb.MethodOptions)
		option(kind, options)
		service.Method = append(service.Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String([]string{"Unary", "Client", "Server", "Bidi"}[i]), InputType: &text, OutputType: &text,
			ClientStreaming: proto.Bool(kind&connect.StreamTypeClient != 0), ServerStreaming: proto.Bool(kind&connect.StreamTypeServer != 0),
			Options: options,
		})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("slow.proto"), Package: proto.String("slow.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{wrapperspb.File_google_protobuf_wrappers_proto.Path()},
		Service:    []*descriptorpb.ServiceDescriptorProto{service},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0)
}

// within makes a server whose methods have an option of five seconds, and whose
// handlers do step.
func within(t *testing.T, step connectumtest.Step) func() (*connectum.Server, protoreflect.ServiceDescriptor) {
	service := slowService(t, func(_ connect.StreamType, options *descriptorpb.MethodOptions) {
		proto.SetExtension(options, timeoutOption, durationpb.New(5*time.Second))
	})
	return func() (*connectum.Server, protoreflect.ServiceDescriptor) {
		srv := connectum.New(connectum.Config{
			Logger: slog.New(slog.DiscardHandler), Interceptors: []connectum.Interceptor{resilience.MethodTimeout(timeoutOption)},
		})
		connectumtest.Script{"*": step}.Register(srv.RPC(), service)
		return srv, service
	}
}

// ask calls a method with one request.
func ask(ctx context.Context, client *connect.Client, method protoreflect.MethodDescriptor, kind connect.StreamType) error {
	spec := connect.Spec{StreamType: kind, Procedure: "/slow.v1.SlowService/" + string(method.Name()), Schema: method}
	req, res := wrapperspb.String("a"), new(wrapperspb.StringValue)
	if kind == connect.StreamTypeUnary {
		return client.CallUnary(ctx, spec, req, res)
	}
	stream, err := client.CallClientStream(ctx, spec)
	if err != nil {
		return err
	}
	defer stream.Close()
	_ = stream.Send(req) // what went wrong, Receive tells
	if kind&connect.StreamTypeClient == 0 {
		_ = stream.CloseSend()
	}
	return stream.Receive(res)
}

// Behaviours 83, 84: a call that takes longer ends as deadline_exceeded naming the limit,
// and its handler's context ends, for every kind.
func TestMethodTimeoutBoundsWhatTheSchemaSays(t *testing.T) {
	t.Parallel()
	for i, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			eachDoor(t, within(t, connectumtest.Hang()), func(t *testing.T, d doorway, service protoreflect.ServiceDescriptor) {
				if !d.has(kind) {
					return
				}
				began := time.Now()
				err := ask(t.Context(), d.client(), service.Methods().Get(i), kind)
				if d.HalfDuplex && kind == connect.StreamTypeClient {
					if err == nil { // as with StreamLimits
						t.Error("the client believes in success")
					}
					return
				}
				connectumtest.WantError(t, err, connect.CodeDeadlineExceeded, connectumtest.Containing("its method's limit of 5s"))
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("ended after %v", took)
				}
				// The client's shorter deadline holds.
				began = time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := ask(ctx, d.client(), service.Methods().Get(i), kind); err == nil || time.Since(began) != time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// Who heeds nothing is answered for; who is in time is not touched.
func TestMethodTimeoutAnswersForWhoIsLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step connectumtest.Step
		late bool
	}{
		"late answer": {func(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
			time.Sleep(6 * time.Second)
			return stream.Send(wrapperspb.String("late"))
		}, true},
		"late success": {func(context.Context, connect.Spec, connect.ServerStream) error {
			time.Sleep(6 * time.Second)
			return nil
		}, true},
		"in time": {connectumtest.Delay(4 * time.Second).Then(connectumtest.Answer(wrapperspb.String("in time"))), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDoor(t, within(t, c.step), func(t *testing.T, d doorway, service protoreflect.ServiceDescriptor) {
				err := ask(t.Context(), d.client(), service.Methods().Get(0), connect.StreamTypeUnary)
				if !c.late && err != nil {
					t.Error(err)
				} else if c.late {
					connectumtest.WantError(t, err, connect.CodeDeadlineExceeded, connectumtest.Containing("limit of 5s"))
				}
			})
		})
	}
}

func TestMethodTimeoutReadsTheOption(t *testing.T) {
	t.Parallel()
	set := func(d time.Duration) func(connect.StreamType, *descriptorpb.MethodOptions) {
		return func(kind connect.StreamType, options *descriptorpb.MethodOptions) {
			if kind == connect.StreamTypeUnary {
				proto.SetExtension(options, timeoutOption, durationpb.New(d))
			}
		}
	}
	bind := func(t *testing.T, option protoreflect.ExtensionType, service protoreflect.ServiceDescriptor, method int) (bool, error) {
		t.Helper()
		m := service.Methods().Get(method)
		around, err := resilience.MethodTimeout(option).Bind(connect.Spec{Procedure: "/slow.v1.SlowService/Unary", Schema: m})
		return around != nil, err
	}
	service := slowService(t, set(time.Second))
	if bound, err := bind(t, timeoutOption, service, 0); !bound || err != nil {
		t.Error(bound, err)
	}
	if bound, err := bind(t, timeoutOption, service, 1); bound || err != nil {
		t.Errorf("a method without the option: %v, %v", bound, err)
	}
	if around, err := resilience.MethodTimeout(timeoutOption).Bind(connect.Spec{Procedure: "/a.B/C"}); around != nil || err != nil {
		t.Errorf("a method without a schema: %v", err)
	}

	// An extension known by its descriptor alone.
	dynamic := dynamicpb.NewExtensionType(extension(t, "google.protobuf.MethodOptions", "google.protobuf.Duration"))
	limit := dynamicpb.NewMessage((*durationpb.Duration)(nil).ProtoReflect().Descriptor())
	limit.Set(limit.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(2))
	service = slowService(t, func(_ connect.StreamType, options *descriptorpb.MethodOptions) {
		options.ProtoReflect().Set(dynamic.TypeDescriptor(), protoreflect.ValueOfMessage(limit))
	})
	if bound, err := bind(t, dynamic, service, 0); !bound || err != nil {
		t.Error(bound, err)
	}

	for text, c := range map[string]struct {
		option protoreflect.ExtensionType
		value  time.Duration
	}{
		"test.timeout of slow.v1.SlowService.Unary is 0s":  {timeoutOption, 0},
		"test.timeout of slow.v1.SlowService.Unary is -1s": {timeoutOption, -time.Second},
		"MethodTimeout has no option":                      {nil, time.Second},
		"is not a google.protobuf.Duration":                {dynamicpb.NewExtensionType(extension(t, "google.protobuf.MethodOptions", "google.protobuf.StringValue")), time.Second},
		"is one of google.protobuf.FieldOptions":           {dynamicpb.NewExtensionType(extension(t, "google.protobuf.FieldOptions", "google.protobuf.Duration")), time.Second},
	} {
		srv := connectum.New(connectum.Config{Interceptors: []connectum.Interceptor{resilience.MethodTimeout(c.option)}})
		connectumtest.Script{}.Register(srv.RPC(), slowService(t, set(c.value)))
		if err := srv.Check(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("start error is %v, want one with %q", err, text)
		}
	}
}

// extension declares an extension 50001 of one message by another.
func extension(t *testing.T, of, by string) protoreflect.ExtensionDescriptor {
	t.Helper()
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("option.proto"), Package: proto.String("option.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/descriptor.proto", "google/protobuf/duration.proto", "google/protobuf/wrappers.proto"},
		Extension: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("timeout"), Number: proto.Int32(50001), Extendee: proto.String("." + of), TypeName: proto.String("." + by),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Extensions().Get(0)
}
