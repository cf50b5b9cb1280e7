// Package faults implements faults.v1.FaultService, which goes wrong in the ways
// that must not be told to clients.
package faults

import (
	"context"
	"errors"

	faultsv1 "github.com/connectum-go/connectum/examples/gen/faults/v1"
	"github.com/connectum-go/connectum/examples/gen/faults/v1/faultsv1connect"
)

// errSecret is what a driver may say of a connection.
var errSecret = errors.New("dial postgres://orders:hunter2@10.0.0.7:5432: connection refused")

// Service implements faultsv1connect.FaultServiceHandler. It has no state and is
// safe for concurrent use.
type Service struct{}

var _ faultsv1connect.FaultServiceHandler = Service{}

// Fail returns an error that was not made for clients.
func (Service) Fail(context.Context, *faultsv1.FailRequest) (*faultsv1.FailResponse, error) {
	return nil, errSecret
}

// FailLater does so after its first message.
func (Service) FailLater(_ context.Context, _ *faultsv1.FailLaterRequest, stream faultsv1connect.FaultServiceFailLaterServerStream) error {
	if err := stream.Send(&faultsv1.FailLaterResponse{Message: "so far, so good"}); err != nil {
		return err
	}
	return errSecret
}

// Panic panics with it.
func (Service) Panic(context.Context, *faultsv1.PanicRequest) (*faultsv1.PanicResponse, error) {
	panic(errSecret)
}
