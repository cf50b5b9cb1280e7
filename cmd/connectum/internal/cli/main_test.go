package cli_test

import (
	"context"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func hangUp(context.Context, testv1connect.TestServiceChatServerStream) error {
	return connect.NewError(connect.CodeResourceExhausted, "enough")
}
