package greeter_test

import (
	"errors"
	"io"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"

	greeterv1 "github.com/connectum-go/connectum/examples/gen/greeter/v1"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
)

func newClient() greeterv1connect.GreeterServiceClient {
	server := connect.NewServer()
	greeterv1connect.RegisterGreeterServiceHandler(server, greeter.Service{})
	return greeterv1connect.NewGreeterServiceClient(connect.NewClient(connectinprocess.New(server)))
}

func TestSayHelloGreetsByName(t *testing.T) {
	t.Parallel()
	res, err := newClient().SayHello(t.Context(), &greeterv1.SayHelloRequest{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := res.GetMessage(), "Hello, Ada!"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
}

func TestSayHelloManySendsAsManyAsAsked(t *testing.T) {
	t.Parallel()
	stream, err := newClient().SayHelloMany(t.Context(), &greeterv1.SayHelloManyRequest{Name: "Ada", Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var count int
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := res.GetMessage(), "Hello, Ada!"; got != want {
			t.Errorf("message %q, want %q", got, want)
		}
		count++
	}
	if count != 3 {
		t.Errorf("%d messages, want 3", count)
	}
}

func TestGreetEveryoneJoinsTheNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"Ada"}, "Hello, Ada!"},
		{[]string{"Ada", "Grace"}, "Hello, Ada and Grace!"},
		{[]string{"Ada", "Grace", "Edsger"}, "Hello, Ada, Grace and Edsger!"},
	} {
		t.Run(test.want, func(t *testing.T) {
			t.Parallel()
			res, err := greetEveryone(t, test.names...)
			if err != nil {
				t.Fatal(err)
			}
			if got := res.GetMessage(); got != test.want {
				t.Errorf("message %q, want %q", got, test.want)
			}
			if got, want := int(res.GetCount()), len(test.names); got != want {
				t.Errorf("count %d, want %d", got, want)
			}
		})
	}
}

func TestGreetEveryoneRefusesNobodyAndCrowds(t *testing.T) {
	t.Parallel()
	if _, err := greetEveryone(t); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("nobody: %v, want %v", err, connect.CodeInvalidArgument)
	}
	if _, err := greetEveryone(t, make([]string, 1001)...); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("1001 names: %v, want %v", err, connect.CodeResourceExhausted)
	}
}

func TestChatAnswersEachNameBeforeTheNext(t *testing.T) {
	t.Parallel()
	stream, err := newClient().Chat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, name := range []string{"Ada", "Grace"} {
		if err := stream.Send(&greeterv1.ChatRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
		res, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := res.GetMessage(), "Hello, "+name+"!"; got != want {
			t.Errorf("message %q, want %q", got, want)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last name: %v, want io.EOF", err)
	}
}

func greetEveryone(t *testing.T, names ...string) (*greeterv1.GreetEveryoneResponse, error) {
	t.Helper()
	stream, err := newClient().GreetEveryone(t.Context())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		// The handler may end the stream early; its error comes with the answer.
		if err := stream.Send(&greeterv1.GreetEveryoneRequest{Name: name}); err != nil {
			break
		}
	}
	return stream.CloseAndReceive()
}
