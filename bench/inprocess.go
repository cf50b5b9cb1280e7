//go:build !only || connectum || connectum_default || connectum_all || connectum_native || connect2 || connectglue

package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
)

// echoCall returns a unary call through transport that checks its answer.
func echoCall(transport connect.Transport) func() error {
	client := benchv1connect.NewBenchServiceClient(connect.NewClient(transport))
	req := &benchv1.EchoRequest{Text: "Ada"}
	ctx := context.Background()
	return func() error {
		res, err := client.Echo(ctx, req)
		if err == nil && res.GetText() != req.GetText() {
			err = fmt.Errorf("wrong answer %q", res.GetText())
		}
		return err
	}
}
