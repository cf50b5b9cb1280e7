// Package probe asks servers how they are: grpc.health.v1, or the readiness
// path over plain HTTP.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	healthv1 "github.com/connectum-go/connectum/internal/gen/connectum/health/v1"
)

// Status is the answer, in the words of grpc.health.v1.
type Status string

// The answers; Unreachable is our own.
const (
	Serving        Status = "SERVING"
	NotServing     Status = "NOT_SERVING"
	ServiceUnknown Status = "SERVICE_UNKNOWN"
	Unreachable    Status = "UNREACHABLE"
)

// Err is nil for Serving, and otherwise an error with the exit code.
func (s Status) Err() error {
	switch s {
	case Serving:
		return nil
	case Unreachable:
		return exit.With(exit.Unreachable, errors.New("the server is not reached"))
	case ServiceUnknown:
		return exit.With(exit.Unhealthy, errors.New("the server does not know the service"))
	}
	return exit.With(exit.Unhealthy, errors.New("the server is not serving"))
}

// Prober asks one server.
type Prober struct {
	Target *target.Target
	// Service is the full name of the service to ask for, or empty for all of
	// the server.
	Service string
	// HTTP asks the path Path by plain HTTP when the server has no
	// grpc.health.v1, or no HTTP/2.
	HTTP bool
	Path string
}

func spec(method string, kind connect.StreamType) connect.Spec {
	return connect.Spec{Procedure: "/grpc.health.v1.Health/" + method, StreamType: kind}
}

// Check asks once.
func (p *Prober) Check(ctx context.Context) (Status, error) {
	s, err := p.check(ctx)
	if err != nil && p.HTTP && ctx.Err() == nil {
		return p.checkHTTP(ctx)
	}
	return s, err
}

func (p *Prober) check(ctx context.Context) (Status, error) {
	client, closeIdle, err := p.Target.Client(target.GRPC, target.HTTP2)
	if err != nil {
		return "", err
	}
	defer closeIdle()
	res := new(healthv1.HealthCheckResponse)
	err = client.CallUnary(ctx, spec("Check", connect.StreamTypeUnary), &healthv1.HealthCheckRequest{Service: p.Service}, res)
	if err != nil {
		if connect.CodeOf(err) == connect.CodeNotFound {
			return ServiceUnknown, nil
		}
		return "", p.explain(ctx, err)
	}
	return Status(res.GetStatus().String()), nil
}

func (p *Prober) explain(ctx context.Context, err error) error {
	err = p.Target.Explain(ctx, err)
	if exit.Code(err) == exit.RPC && connect.CodeOf(err) == connect.CodeUnimplemented {
		return exit.With(exit.RPC, fmt.Errorf("%s does not offer grpc.health.v1: --http asks %s", p.Target, p.Path))
	}
	return err
}

// checkHTTP asks by HTTP.
func (p *Prober) checkHTTP(ctx context.Context) (Status, error) {
	u := p.Target.URL.JoinPath(p.Path)
	if p.Service != "" {
		u.RawQuery = url.Values{"service": {p.Service}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	for _, h := range p.Target.Headers {
		req.Header.Add(h.Name, h.Value)
	}
	client := p.Target.HTTP(target.Auto)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return "", p.Target.Explain(ctx, err)
	}
	defer res.Body.Close()
	word, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil {
		return "", p.Target.Explain(ctx, err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		return Serving, nil
	case http.StatusServiceUnavailable:
		return NotServing, nil
	case http.StatusNotFound:
		if strings.TrimSpace(string(word)) == string(ServiceUnknown) {
			return ServiceUnknown, nil
		}
	}
	return "", exit.With(exit.RPC, fmt.Errorf("%s%s is answered %s", p.Target, p.Path, res.Status))
}

// Again is how long Watch waits before it asks again where it can't be told.
const Again = time.Second

// Watch tells each status that differs from the one before, until ctx ends, and
// returns the last. A server that goes away is Unreachable, and asked again until
// it is back. The error is of a server that offers no health at all.
func (p *Prober) Watch(ctx context.Context, tell func(Status)) (Status, error) {
	var last Status
	change := func(s Status) {
		if s != last {
			last = s
			tell(s)
		}
	}
	stream := true
	for {
		var err error
		if stream {
			err = p.follow(ctx, change)
			if err != nil && exit.Code(err) == exit.RPC && ctx.Err() == nil {
				if !p.HTTP {
					return last, err
				}
				stream = false
				continue
			}
		} else {
			var s Status
			if s, err = p.checkHTTP(ctx); err == nil {
				change(s)
			} else if exit.Code(err) == exit.RPC {
				return last, err
			}
		}
		if ctx.Err() != nil {
			return last, nil
		}
		if err != nil {
			change(Unreachable)
		}
		wait := time.NewTimer(Again)
		select {
		case <-ctx.Done():
			wait.Stop()
			return last, nil
		case <-wait.C:
		}
	}
}

// follow tells what the server sends until the stream ends.
func (p *Prober) follow(ctx context.Context, tell func(Status)) error {
	client, closeIdle, err := p.Target.Client(target.GRPC, target.HTTP2)
	if err != nil {
		return err
	}
	defer closeIdle()
	stream, err := client.CallServerStream(ctx, spec("Watch", connect.StreamTypeServer), &healthv1.HealthCheckRequest{Service: p.Service})
	if err != nil {
		return p.explain(ctx, err)
	}
	defer stream.Close()
	for {
		res := new(healthv1.HealthCheckResponse)
		if err := stream.Receive(res); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			if connect.CodeOf(err) == connect.CodeUnimplemented {
				return p.explain(ctx, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// Any other verdict on a stream that lived means that the server goes.
			return exit.With(exit.Unreachable, err)
		}
		tell(Status(res.GetStatus().String()))
	}
}
