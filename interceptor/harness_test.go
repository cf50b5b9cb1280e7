package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

const servicePath = "/connectum.rules.test.v1.RuleService/"

var rulesService = rulesv1.File_connectum_rules_test_v1_rules_proto.Services().ByName("RuleService")

// kinds are the methods that stand for each kind of call.
var kinds = map[connect.StreamType]string{
	connect.StreamTypeUnary: "Put", connect.StreamTypeClient: "Collect", connect.StreamTypeServer: "List", connect.StreamTypeBidi: "Talk",
}

// request is one for the method of a kind; what is not named breaks a rule.
func request(kind connect.StreamType, name string) proto.Message {
	return map[connect.StreamType]proto.Message{
		connect.StreamTypeUnary: &rulesv1.PutRequest{Name: name}, connect.StreamTypeClient: &rulesv1.CollectRequest{Name: name},
		connect.StreamTypeServer: &rulesv1.ListRequest{Name: name}, connect.StreamTypeBidi: &rulesv1.TalkRequest{Name: name},
	}[kind]
}

func response(kind connect.StreamType, text string) proto.Message {
	return map[connect.StreamType]proto.Message{
		connect.StreamTypeUnary: &rulesv1.PutResponse{Text: text}, connect.StreamTypeClient: &rulesv1.CollectResponse{Text: text},
		connect.StreamTypeServer: &rulesv1.ListResponse{Text: text}, connect.StreamTypeBidi: &rulesv1.TalkResponse{Text: text},
	}[kind]
}

func method(name string) protoreflect.MethodDescriptor {
	return rulesService.Methods().ByName(protoreflect.Name(name))
}

func specOf(m protoreflect.MethodDescriptor) connect.Spec {
	spec := connect.Spec{Procedure: fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()), Schema: m}
	if m.IsStreamingClient() {
		spec.StreamType |= connect.StreamTypeClient
	}
	if m.IsStreamingServer() {
		spec.StreamType |= connect.StreamTypeServer
	}
	return spec
}

// serve returns a server whose methods all do step, inside chain.
func serve(logs *connectumtest.Logs, step connectumtest.Step, chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Logger: logs.Logger(), Interceptors: chain})
	connectumtest.Script{"*": step}.Register(srv.RPC(), rulesService)
	return srv
}

// answer sends one message of the type of the call, after its first request.
func answer(text string) connectumtest.Step {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		return connectumtest.Answer(response(spec.StreamType, text))(ctx, spec, stream)
	}
}

// readFirst takes the first request.
func readFirst(_ context.Context, spec connect.Spec, stream connect.ServerStream) error {
	if spec.Procedure == servicePath+"Vault" {
		return stream.Receive(new(rulesv1.VaultRequest))
	}
	return stream.Receive(request(spec.StreamType, ""))
}

// call makes a call of any kind with these names, and returns the answers.
func call(ctx context.Context, client *connect.Client, kind connect.StreamType, names ...string) (texts []string, err error) {
	spec := specOf(method(kinds[kind]))
	if kind == connect.StreamTypeUnary {
		res := new(rulesv1.PutResponse)
		if err := client.CallUnary(ctx, spec, request(kind, names[0]), res); err != nil {
			return nil, err
		}
		return []string{res.GetText()}, nil
	}
	stream, err := client.CallClientStream(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for _, name := range names {
		if err := stream.Send(request(kind, name)); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for {
		res := response(kind, "")
		if err := stream.Receive(res); errors.Is(err, io.EOF) {
			return texts, nil
		} else if err != nil {
			return texts, err
		}
		texts = append(texts, res.(interface{ GetText() string }).GetText())
	}
}

// everywhere runs f for every kind of call and behind every door that has it.
func everywhere(t *testing.T, srv *connectum.Server, f func(t *testing.T, kind connect.StreamType, client *connect.Client)) {
	t.Helper()
	run := connectumtest.Start(t, srv)
	connectumtest.EachKind(t, func(t *testing.T, kind connect.StreamType) {
		each := run.EachDoor
		if kind == connect.StreamTypeBidi {
			each = run.EachBidiDoor
		}
		each(t, func(t *testing.T, client *connect.Client) { f(t, kind, client) })
	})
}

// bare answers without looking.
type bare struct {
	rulestestv1connect.RuleServiceHandler
}

func (bare) Plain(context.Context, *rulesv1.PlainRequest) (*rulesv1.PlainResponse, error) {
	return &rulesv1.PlainResponse{}, nil
}

func (bare) Put(context.Context, *rulesv1.PutRequest) (*rulesv1.PutResponse, error) {
	return &rulesv1.PutResponse{}, nil
}

func (bare) Vault(context.Context, *rulesv1.VaultRequest) (*rulesv1.VaultResponse, error) {
	return &rulesv1.VaultResponse{}, nil
}

func bareClient(t testing.TB, chain ...connectum.Interceptor) rulestestv1connect.RuleServiceClient {
	srv := connectum.New(connectum.Config{Interceptors: chain})
	rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), bare{})
	if err := srv.Check(); err != nil {
		t.Fatal(err)
	}
	return rulestestv1connect.NewRuleServiceClient(connect.NewClient(srv.Transport()))
}
