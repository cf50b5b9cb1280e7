package suite_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	conformancev1 "github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1"
	"github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1/conformancev1connect"
)

// service answers as requests tell it to; see service.proto of the suite.
type service struct {
	conformancev1connect.UnimplementedConformanceServiceHandler // of the method that shall be so
}

func (service) Unary(ctx context.Context, req *conformancev1.UnaryRequest) (*conformancev1.UnaryResponse, error) {
	payload, err := answer(ctx, req.GetResponseDefinition(), req)
	return &conformancev1.UnaryResponse{Payload: payload}, err
}

func (service) IdempotentUnary(ctx context.Context, req *conformancev1.IdempotentUnaryRequest) (*conformancev1.IdempotentUnaryResponse, error) {
	payload, err := answer(ctx, req.GetResponseDefinition(), req)
	return &conformancev1.IdempotentUnaryResponse{Payload: payload}, err
}

func (service) ClientStream(ctx context.Context, s conformancev1connect.ConformanceServiceClientStreamServerStream) (*conformancev1.ClientStreamResponse, error) {
	var first *conformancev1.UnaryResponseDefinition
	var all []proto.Message
	for {
		req, err := s.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			first = req.GetResponseDefinition()
		}
		all = append(all, req)
	}
	payload, err := answer(ctx, first, all...)
	return &conformancev1.ClientStreamResponse{Payload: payload}, err
}

func (service) ServerStream(ctx context.Context, req *conformancev1.ServerStreamRequest, s conformancev1connect.ConformanceServiceServerStreamServerStream) error {
	send := func(p *conformancev1.ConformancePayload) error {
		return s.Send(&conformancev1.ServerStreamResponse{Payload: p})
	}
	a, err := newAnswers(ctx, req.GetResponseDefinition(), s.SendHeaders, send)
	if err != nil {
		return err
	}
	return a.rest(req)
}

func (service) BidiStream(ctx context.Context, s conformancev1connect.ConformanceServiceBidiStreamServerStream) error {
	send := func(p *conformancev1.ConformancePayload) error {
		return s.Send(&conformancev1.BidiStreamResponse{Payload: p})
	}
	var a *answers
	var turns bool // a response for each request
	var unanswered []proto.Message
	for {
		req, err := s.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if a == nil {
			turns = req.GetFullDuplex()
			if a, err = newAnswers(ctx, req.GetResponseDefinition(), s.SendHeaders, send); err != nil {
				return err
			}
		}
		unanswered = append(unanswered, req)
		if turns {
			if a.exhausted() {
				return a.end(unanswered...)
			}
			if err := a.next(unanswered...); err != nil {
				return err
			}
			unanswered = nil
		}
	}
	if a == nil {
		return nil
	}
	return a.rest(unanswered...)
}

// answer is the response of a method that has one.
func answer(ctx context.Context, def *conformancev1.UnaryResponseDefinition, reqs ...proto.Message) (*conformancev1.ConformancePayload, error) {
	seen, err := observe(ctx, reqs)
	if err != nil {
		return nil, err
	}
	decorate(ctx, def.GetResponseHeaders(), def.GetResponseTrailers())
	if err := wait(ctx, def.GetResponseDelayMs()); err != nil {
		return nil, err
	}
	if failure := def.GetError(); failure != nil {
		return nil, failed(failure, seen)
	}
	return &conformancev1.ConformancePayload{Data: def.GetResponseData(), RequestInfo: seen}, nil
}

// answers are the responses of a stream of them.
type answers struct {
	ctx  context.Context
	def  *conformancev1.StreamResponseDefinition
	send func(*conformancev1.ConformancePayload) error
	sent int
}

// newAnswers sends the header at once if messages follow: the client may wait
// for it.
func newAnswers(ctx context.Context, def *conformancev1.StreamResponseDefinition, begin func() error, send func(*conformancev1.ConformancePayload) error) (*answers, error) {
	decorate(ctx, def.GetResponseHeaders(), def.GetResponseTrailers())
	a := &answers{ctx: ctx, def: def, send: send}
	if a.exhausted() {
		return a, nil
	}
	return a, begin()
}

func (a *answers) exhausted() bool { return a.sent == len(a.def.GetResponseData()) }

// next sends one response. The first tells all about the call, later ones what
// requests came since.
func (a *answers) next(reqs ...proto.Message) error {
	if err := wait(a.ctx, a.def.GetResponseDelayMs()); err != nil {
		return err
	}
	p := &conformancev1.ConformancePayload{Data: a.def.GetResponseData()[a.sent]}
	seen, err := observe(a.ctx, reqs)
	switch {
	case err != nil:
		return err
	case a.sent == 0:
		p.RequestInfo = seen
	case len(reqs) > 0:
		p.RequestInfo = &conformancev1.ConformancePayload_RequestInfo{Requests: seen.GetRequests()}
	}
	a.sent++
	return a.send(p)
}

// rest sends what is left and ends the stream.
func (a *answers) rest(reqs ...proto.Message) error {
	for !a.exhausted() {
		if err := a.next(reqs...); err != nil {
			return err
		}
		reqs = nil
	}
	return a.end(reqs...)
}

// end returns the error of the stream, if there shall be one.
func (a *answers) end(reqs ...proto.Message) error {
	failure := a.def.GetError()
	if failure == nil {
		return nil
	}
	if a.sent > 0 {
		return failed(failure)
	}
	seen, err := observe(a.ctx, reqs)
	if err != nil {
		return err
	}
	return failed(failure, seen)
}

// observe tells what came with the call.
func observe(ctx context.Context, reqs []proto.Message) (*conformancev1.ConformancePayload_RequestInfo, error) {
	seen := new(conformancev1.ConformancePayload_RequestInfo)
	info, _ := connect.CallInfoForServerContext(ctx)
	for name, values := range info.RequestHeader().All() {
		seen.RequestHeaders = append(seen.RequestHeaders, &conformancev1.Header{Name: name, Value: values})
	}
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at).Milliseconds()
		seen.TimeoutMs = &left
	}
	if over, ok := connecthttp.ServerInfoForContext(ctx); ok && over.HTTPMethod() == "GET" {
		seen.ConnectGetInfo = new(conformancev1.ConformancePayload_ConnectGetInfo)
		for name, values := range over.HTTPGetQueryParams() {
			seen.ConnectGetInfo.QueryParams = append(seen.ConnectGetInfo.QueryParams, &conformancev1.Header{Name: name, Value: values})
		}
	}
	for _, req := range reqs {
		packed, err := anypb.New(req)
		if err != nil {
			return nil, err
		}
		seen.Requests = append(seen.Requests, packed)
	}
	return seen, nil
}

func decorate(ctx context.Context, headers, trailers []*conformancev1.Header) {
	info, _ := connect.CallInfoForServerContext(ctx)
	addAll(info.ResponseHeader(), headers)
	addAll(info.ResponseTrailer(), trailers)
}

func addAll(to *connect.Header, headers []*conformancev1.Header) {
	for _, h := range headers {
		for _, value := range h.GetValue() {
			to.Add(h.GetName(), value)
		}
	}
}

// failed makes the error that was asked for, with more details.
func failed(want *conformancev1.Error, more ...proto.Message) error {
	err := connect.NewError(connect.Code(want.GetCode()), want.GetMessage())
	for _, detail := range want.GetDetails() {
		_, name, _ := strings.Cut(detail.GetTypeUrl(), "/")
		err = err.WithDetail(&connect.ErrorDetail{Type: name, Value: detail.GetValue()})
	}
	for _, m := range more {
		detail, bad := connectproto.NewErrorDetail(m)
		if bad != nil {
			return bad
		}
		err = err.WithDetail(detail)
	}
	return err
}

func wait(ctx context.Context, ms uint32) error {
	if ms == 0 {
		return nil
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
