package connectumtest

import (
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Script says what a service does, by the names of its methods; "*" is for the
// others, which otherwise answer unimplemented. [Script.Register] makes it a
// service:
//
//	connectumtest.Script{
//		"GetUser":   connectumtest.Steps(connectumtest.Fail(unavailable), connectumtest.Answer(user)),
//		"ListUsers": connectumtest.Answer(one, two).Then(connectumtest.Disconnect()),
//		"*":         connectumtest.Hang(),
//	}.Register(srv.RPC(), userv1.File_user_v1_user_proto.Services().ByName("UserService"))
type Script map[string]Step

// Register registers the service on server. It panics when service is nil, and
// when the script names a method that it does not have.
func (s Script) Register(server *connect.Server, service protoreflect.ServiceDescriptor) {
	if service == nil {
		panic("connectumtest: the service is nil: ByName(...) found none of that name in the file")
	}
	left := maps.Clone(s)
	delete(left, "*")
	for spec := range specsOf(service) {
		name := string(spec.Schema.(protoreflect.MethodDescriptor).Name())
		step := s[name]
		delete(left, name)
		if step == nil {
			step = s["*"]
		}
		if step == nil {
			step = Fail(connect.Errorf(connect.CodeUnimplemented, "%s is not in the script", spec.Procedure))
		}
		server.Register(connect.Method{Spec: spec, Handler: connect.ServerFunc(step)})
	}
	if len(left) > 0 {
		panic(fmt.Sprintf("connectumtest: %s has no method %q", service.FullName(), slices.Sorted(maps.Keys(left))))
	}
}

// specsOf yields a service's procedures as generated code describes them.
func specsOf(service protoreflect.ServiceDescriptor) func(yield func(connect.Spec) bool) {
	return func(yield func(connect.Spec) bool) {
		methods := service.Methods()
		for i := range methods.Len() {
			if !yield(specOf(methods.Get(i))) {
				return
			}
		}
	}
}

func specOf(m protoreflect.MethodDescriptor) connect.Spec {
	spec := connect.Spec{
		Procedure: fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()),
		Schema:    m,
	}
	if m.IsStreamingClient() {
		spec.StreamType |= connect.StreamTypeClient
	}
	if m.IsStreamingServer() {
		spec.StreamType |= connect.StreamTypeServer
	}
	if options, ok := m.Options().(*descriptorpb.MethodOptions); ok && proto.Size(options) > 0 {
		switch options.GetIdempotencyLevel() {
		case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
			spec.IdempotencyLevel = connect.IdempotencyNoSideEffects
		case descriptorpb.MethodOptions_IDEMPOTENT:
			spec.IdempotencyLevel = connect.IdempotencyIdempotent
		}
	}
	return spec
}
