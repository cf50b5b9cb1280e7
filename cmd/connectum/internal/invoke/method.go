package invoke

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
)

// ParseMethod reads "pkg.Service/Method", with or without a slash in front, and
// "pkg.Service.Method", as logs and gRPC tools write it.
func ParseMethod(text string) (service, method string, err error) {
	name := strings.TrimPrefix(text, "/")
	service, method, slash := strings.Cut(name, "/")
	if !slash {
		if dot := strings.LastIndexByte(name, '.'); dot > 0 {
			service, method = name[:dot], name[dot+1:]
		}
	}
	if !protoreflect.FullName(service).IsValid() || !protoreflect.Name(method).IsValid() {
		return "", "", fmt.Errorf("method %q: want pkg.Service/Method", text)
	}
	return service, method, nil
}

// Find returns the method that text names. When there is none, the error tells
// of those there are.
func Find(ctx context.Context, s *schema.Schema, text string) (protoreflect.MethodDescriptor, error) {
	service, method, err := ParseMethod(text)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	d, err := s.Find(ctx, service)
	if errors.Is(err, schema.ErrNotFound) {
		known, listErr := s.Services(ctx)
		if listErr != nil || len(known) == 0 {
			return nil, exit.With(exit.Usage, err)
		}
		return nil, exit.With(exit.Usage, fmt.Errorf("no service is called %s; there are %s", service, strings.Join(known, ", ")))
	}
	if err != nil {
		return nil, err
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, exit.With(exit.Usage, fmt.Errorf("%s is no service", service))
	}
	if md := sd.Methods().ByName(protoreflect.Name(method)); md != nil {
		return md, nil
	}
	var known []string
	for i := range sd.Methods().Len() {
		known = append(known, string(sd.Methods().Get(i).Name()))
	}
	return nil, exit.With(exit.Usage, fmt.Errorf("%s has no method %s; it has %s", service, method, strings.Join(known, ", ")))
}

// SpecOf describes m to a client.
func SpecOf(m protoreflect.MethodDescriptor) connect.Spec {
	spec := connect.Spec{Procedure: "/" + string(m.Parent().FullName()) + "/" + string(m.Name()), Schema: m}
	if m.IsStreamingClient() {
		spec.StreamType |= connect.StreamTypeClient
	}
	if m.IsStreamingServer() {
		spec.StreamType |= connect.StreamTypeServer
	}
	if o, ok := m.Options().(*descriptorpb.MethodOptions); ok {
		switch o.GetIdempotencyLevel() {
		case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
			spec.IdempotencyLevel = connect.IdempotencyNoSideEffects
		case descriptorpb.MethodOptions_IDEMPOTENT:
			spec.IdempotencyLevel = connect.IdempotencyIdempotent
		}
	}
	return spec
}
