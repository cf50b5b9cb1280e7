package faults_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/examples/faults"
	faultsv1 "github.com/connectum-go/connectum/examples/gen/faults/v1"
	"github.com/connectum-go/connectum/examples/gen/faults/v1/faultsv1connect"
	"github.com/connectum-go/connectum/interceptor"
)

func TestClientsSeeAnIDAndTheLogTheReason(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	srv := connectum.New(connectum.Config{Logger: logs.Logger(), Interceptors: interceptor.Defaults(interceptor.Config{Logger: logs.Logger()})})
	faultsv1connect.RegisterFaultServiceHandler(srv.RPC(), faults.Service{})
	connectumtest.EachDoor(t, srv, func(t *testing.T, c *connect.Client) {
		client := faultsv1connect.NewFaultServiceClient(c)
		_, failed := client.Fail(t.Context(), new(faultsv1.FailRequest))
		_, panicked := client.Panic(t.Context(), new(faultsv1.PanicRequest))
		stream, err := client.FailLater(t.Context(), new(faultsv1.FailLaterRequest))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		if res, err := stream.Receive(); err != nil || res.GetMessage() != "so far, so good" {
			t.Errorf("the first message: %v, %v", res, err)
		}
		_, later := stream.Receive()
		for _, err := range []error{failed, panicked, later} {
			if errors.Is(err, io.EOF) {
				t.Error("no error")
				continue
			}
			e := connectumtest.WantError(t, err, connect.CodeInternal, connectumtest.Matching("^internal error, id [a-z0-9]+$"))
			_, id, _ := strings.Cut(e.Message(), "id ")
			told := false
			for _, r := range logs.Records() {
				told = told || r.Attrs["error_id"] == id && strings.Contains(r.Attrs["error"].(string), "hunter2")
			}
			if !told {
				t.Errorf("the log does not tell why %v", err)
			}
		}
	})
}
