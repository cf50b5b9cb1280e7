package validate_test

import (
	"context"
	"errors"
	"io"
	"testing"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/internal/leak"
	"github.com/connectum-go/connectum/validate"
)

func TestMain(m *testing.M) { leak.Main(m) }

// service answers with the names it gets. Names are what rules are about.
type service struct {
	rulestestv1connect.RuleServiceHandler
	answer  string // in place of the name
	ignores bool   // goes on after a message was refused
}

func (s service) text(name string) string {
	if s.answer != "" {
		return s.answer
	}
	return name
}

func (s service) Put(_ context.Context, req *rulesv1.PutRequest) (*rulesv1.PutResponse, error) {
	return &rulesv1.PutResponse{Text: s.text(req.GetName())}, nil
}

func (s service) Collect(_ context.Context, stream rulestestv1connect.RuleServiceCollectServerStream) (*rulesv1.CollectResponse, error) {
	all := ""
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) || err != nil && s.ignores {
			return &rulesv1.CollectResponse{Text: s.text(all)}, nil
		}
		if err != nil {
			return nil, err
		}
		all += req.GetName()
	}
}

func (s service) List(_ context.Context, req *rulesv1.ListRequest, stream rulestestv1connect.RuleServiceListServerStream) error {
	if err := stream.Send(&rulesv1.ListResponse{Text: req.GetName()}); err != nil {
		return err
	}
	err := stream.Send(&rulesv1.ListResponse{Text: s.text(req.GetName())})
	if s.ignores {
		return nil
	}
	return err
}

func (s service) Talk(_ context.Context, stream rulestestv1connect.RuleServiceTalkServerStream) error {
	for {
		req, err := stream.Receive()
		if errors.Is(err, io.EOF) || err != nil && s.ignores {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&rulesv1.TalkResponse{Text: s.text(req.GetName())}); err != nil && !s.ignores {
			return err
		}
	}
}

func (service) Plain(_ context.Context, req *rulesv1.PlainRequest) (*rulesv1.PlainResponse, error) {
	return &rulesv1.PlainResponse{Text: req.GetText()}, nil
}

func (service) Deep(context.Context, *rulesv1.DeepRequest) (*rulesv1.DeepResponse, error) {
	return &rulesv1.DeepResponse{}, nil
}

func (service) Wrap(context.Context, *rulesv1.WrapRequest) (*rulesv1.WrapResponse, error) {
	return &rulesv1.WrapResponse{}, nil
}

func (service) Vault(context.Context, *rulesv1.VaultRequest) (*rulesv1.VaultResponse, error) {
	return &rulesv1.VaultResponse{}, nil
}

// serve returns a server of svc that validates.
func serve(t testing.TB, svc service, cfg validate.Config) *connectum.Server {
	return with(t, svc, validate.New(cfg))
}

func with(t testing.TB, svc service, chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), Interceptors: chain})
	rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), svc)
	return srv
}

func clientOf(t testing.TB, srv *connectum.Server) rulestestv1connect.RuleServiceClient {
	return rulestestv1connect.NewRuleServiceClient(connectumtest.Client(t, srv))
}

// converse makes a call of any kind with these names, and returns the answers.
func converse(ctx context.Context, c *connect.Client, kind connect.StreamType, names ...string) (texts []string, err error) {
	client := rulestestv1connect.NewRuleServiceClient(c)
	switch kind {
	case connect.StreamTypeUnary:
		res, err := client.Put(ctx, &rulesv1.PutRequest{Name: names[0]})
		if err != nil {
			return nil, err
		}
		return []string{res.GetText()}, nil
	case connect.StreamTypeClient:
		stream, err := client.Collect(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := stream.Send(&rulesv1.CollectRequest{Name: name}); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
		}
		res, err := stream.CloseAndReceive()
		if err != nil {
			return nil, err
		}
		return []string{res.GetText()}, nil
	case connect.StreamTypeServer:
		stream, err := client.List(ctx, &rulesv1.ListRequest{Name: names[0]})
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		for {
			res, err := stream.Receive()
			if errors.Is(err, io.EOF) {
				return texts, nil
			}
			if err != nil {
				return texts, err
			}
			texts = append(texts, res.GetText())
		}
	}
	stream, err := client.Talk(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for _, name := range names {
		if err := stream.Send(&rulesv1.TalkRequest{Name: name}); err != nil && !errors.Is(err, io.EOF) {
			return texts, err
		}
		res, err := stream.Receive()
		if err != nil {
			return texts, err
		}
		texts = append(texts, res.GetText())
	}
	if err := stream.CloseSend(); err != nil {
		return texts, err
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		return texts, err
	}
	return texts, nil
}

// dynamic returns a unary method whose request has one field with rules, and
// is registered nowhere.
func dynamic(t testing.TB, field *descriptorpb.FieldDescriptorProto, rules *validatepb.FieldRules) connect.Spec {
	t.Helper()
	field.Name, field.Number = proto.String("field"), proto.Int32(1)
	if field.Label == nil {
		field.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	}
	if field.Options == nil {
		field.Options = new(descriptorpb.FieldOptions)
	}
	proto.SetExtension(field.Options, validatepb.E_Field, rules)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("acme/v1/dynamic.proto"), Package: proto.String("acme.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{validatepb.File_buf_validate_validate_proto.Path(), timestamppb.File_google_protobuf_timestamp_proto.Path()},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Inner"), Field: []*descriptorpb.FieldDescriptorProto{field}},
			{Name: proto.String("Outer"), Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("inner"), Number: proto.Int32(1), Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(),
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".acme.v1.Inner"),
			}}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("M"), InputType: proto.String(".acme.v1.Outer"), OutputType: proto.String(".acme.v1.Outer"),
		}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return specOf(file.Services().Get(0).Methods().Get(0))
}

func specOf(method protoreflect.MethodDescriptor) connect.Spec {
	return connect.Spec{Procedure: "/" + string(method.Parent().FullName()) + "/" + string(method.Name()), Schema: method}
}
