package telemetry_test

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/telemetry"
	"github.com/connectum-go/connectum/telemetry/telemetrytest"
)

// behaviours 126, 127 and 133: the same spans, events, instruments, units and
// labels behind every door, for each kind of call that succeeds, fails, and
// fails when a stream has begun. The native door, which this module does not know,
// is held to the same by conformance/telemetry.
func TestEveryDoorRecordsTheSame(t *testing.T) {
	t.Parallel()
	for name, service := range map[string]testservice.Service{
		"success":   {},
		"not found": failing(func() error { return connect.NewError(connect.CodeNotFound, "no such thing") }),
		"a failure": failing(func() error { return errors.New("the database is gone") }),
		"a panic":   failing(func() error { panic("out of memory") }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(t *testing.T, i int) {
				m := methods[i]
				parity := telemetrytest.Parity
				if m.kind == connect.StreamTypeBidi {
					parity = telemetrytest.BidiParity
				}
				parity(t, telemetry.Config{MessageEvents: true}, func(link connectum.Interceptor) *connectum.Server {
					return serve(service, interceptor.Defaults(interceptor.Config{Telemetry: link, Logger: quiet})...)
				}, func(ctx context.Context, client *connect.Client) {
					if err := m.call(ctx, client); (err == nil) != (name == "success") {
						t.Errorf("the call: %v", err)
					}
				})
			})
		})
	}
}
