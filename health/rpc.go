package health

import (
	"context"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	healthv1 "github.com/connectum-go/connectum/internal/gen/connectum/health/v1"
)

// register serves grpc.health.v1. The generated Register function would serve
// it by the name of our private proto package.
func (c *Checker) register(server *connect.Server) {
	method := func(name string, kind connect.StreamType, h connect.ServerFunc) connect.Method {
		return connect.Method{
			Spec:    connect.Spec{StreamType: kind, Schema: schema(name), Procedure: "/" + serviceName + "/" + name},
			Handler: h,
		}
	}
	server.Register(
		method("Check", connect.StreamTypeUnary, c.ask),
		method("List", connect.StreamTypeUnary, c.list),
		method("Watch", connect.StreamTypeServer, c.watch),
	)
}

// trusted reports whether the caller may see dependencies.
func (c *Checker) trusted(ctx context.Context) bool {
	return c.details || connectum.FromAdmin(ctx) || connectum.DoorOf(ctx) == connectum.DoorInProcess
}

func (c *Checker) ask(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	var req healthv1.HealthCheckRequest
	if err := stream.Receive(&req); err != nil {
		return err
	}
	c.settle()
	s, known, _ := c.look(req.GetService(), c.trusted(ctx))
	if !known {
		return connect.NewError(connect.CodeNotFound, "unknown service")
	}
	return stream.Send(&healthv1.HealthCheckResponse{Status: s.proto()})
}

func (c *Checker) list(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	if err := stream.Receive(new(healthv1.HealthListRequest)); err != nil {
		return err
	}
	c.settle()
	details, state, v := c.trusted(ctx), c.server.State(), c.current()
	res := &healthv1.HealthListResponse{Statuses: make(map[string]*healthv1.HealthCheckResponse, len(v.entries))}
	for name, e := range v.entries {
		if !e.detail || details {
			res.Statuses[name] = &healthv1.HealthCheckResponse{Status: e.at(state).proto()}
		}
	}
	return stream.Send(res)
}

// watch sends the status at once, then each change. Whoever is slow to take it
// gets the latest when he does: what is sent is looked up when it is sent. It
// ends when the server drains, after the last word.
func (c *Checker) watch(ctx context.Context, _ connect.Spec, stream connect.ServerStream) error {
	var req healthv1.HealthCheckRequest
	if err := stream.Receive(&req); err != nil {
		return err
	}
	c.settle()
	c.watchers.Add(1)
	defer c.watchers.Add(-1)
	details, draining := c.trusted(ctx), connectum.Draining(ctx)
	last := healthv1.HealthCheckResponse_ServingStatus(-1) // none yet
	for drained := false; ; {
		s, known, changed := c.look(req.GetService(), details)
		now := s.proto()
		if !known {
			now = healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		}
		if now != last {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		if drained {
			return nil
		}
		select {
		case <-changed:
		case <-draining:
			drained = true
		case <-ctx.Done():
			select {
			case <-draining: // the server ends what is left of it
				drained = true
			default:
				return ctx.Err()
			}
		}
	}
}

func (s Status) proto() healthv1.HealthCheckResponse_ServingStatus {
	return healthv1.HealthCheckResponse_ServingStatus(s)
}
