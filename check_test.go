package connectum_test

import (
	"context"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// without refuses the requests, or the answers, of a chat that say word.
func without(word string, answers bool) connectum.Interceptor {
	check := func(msg any) error {
		if m, ok := msg.(interface{ GetText() string }); ok && m.GetText() == word {
			return connect.NewError(connect.CodeInvalidArgument, "no "+word)
		}
		return nil
	}
	checks := connectum.MessageChecks{Received: check}
	if answers {
		checks = connectum.MessageChecks{Sending: check}
	}
	return connectum.Wrap("without "+word, checks.Interceptor())
}

func TestAMessageThatIsRefusedEndsItsCall(t *testing.T) {
	t.Parallel()
	after := make(chan [2]error, 1)
	cfg := quiet()
	// Two in one chain: each has a stream of its own.
	cfg.Interceptors = []connectum.Interceptor{without("stop", false), without("secret", true)}
	in := serving(t, cfg, testservice.Service{OnChat: func(_ context.Context, s testv1connect.TestServiceChatServerStream) error {
		for {
			req, err := s.Receive()
			if err == nil {
				err = s.Send(&testv1.ChatResponse{Text: req.GetText()})
			}
			if err != nil {
				_, receive := s.Receive()
				after <- [2]error{receive, s.Send(&testv1.ChatResponse{Text: "still here"})}
				return nil // as if nothing had been
			}
		}
	}})
	for name, client := range in.dialects() {
		if strings.HasSuffix(name, "h1") { // which has no such streams
			continue
		}
		for _, word := range []string{"stop", "secret"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			stream, err := testv1connect.NewTestServiceClient(client).Chat(ctx)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, text := range []string{"hello", word} {
				if err := stream.Send(&testv1.ChatRequest{Text: text}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if res, err := stream.Receive(); err != nil || res.GetText() != "hello" {
				t.Errorf("%s: %v, %v, want the message before", name, res, err)
			}
			if err := stream.CloseSend(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			res, err := stream.Receive()
			if connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s: %q is answered %v, %v", name, word, res, err)
			}
			for _, err := range <-after {
				if connect.CodeOf(err) != connect.CodeInvalidArgument {
					t.Errorf("%s: the handler goes on after %q: %v", name, word, err)
				}
			}
			cancel()
		}
	}
}
