package suite_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	conformancev1 "github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1"
	"github.com/connectum-go/connectum/conformance/internal/gen/connectrpc/conformance/v1/conformancev1connect"
)

// a result is a call that runs and what has come of it so far.
type result struct {
	conformancev1.ClientResponseResult
	ctx    context.Context
	cancel context.CancelFunc
	req    *conformancev1.ClientCompatRequest
}

// perform makes one call. Its error says that it could not be made at all.
func perform(transports *pool, req *conformancev1.ClientCompatRequest) (*conformancev1.ClientResponseResult, error) {
	tr, base, err := transports.of(req)
	if err != nil {
		return nil, err
	}
	opts, err := options(req)
	if err != nil {
		return nil, err
	}
	client := conformancev1connect.NewConformanceServiceClient(
		connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: tr}, base, opts...), chain()...))

	ctx, cancel := bounded(req)
	defer cancel()
	ctx, info := connect.NewClientContext(ctx)
	addAll(info.RequestHeader(), req.GetRequestHeaders())
	r := &result{ctx: ctx, cancel: cancel, req: req}
	if err := r.make(client); err != nil {
		return nil, err
	}
	r.ResponseHeaders, r.ResponseTrailers = list(info.ResponseHeader()), list(info.ResponseTrailer())
	return &r.ClientResponseResult, nil
}

func (r *result) make(client conformancev1connect.ConformanceServiceClient) error {
	switch method := r.req.GetMethod(); method {
	case "Unary":
		return unary(r, new(conformancev1.UnaryRequest), client.Unary)
	case "IdempotentUnary":
		return unary(r, new(conformancev1.IdempotentUnaryRequest), client.IdempotentUnary)
	case "Unimplemented":
		return unary(r, new(conformancev1.UnimplementedRequest), func(ctx context.Context, req *conformancev1.UnimplementedRequest) (*conformancev1.UnaryResponse, error) {
			_, err := client.Unimplemented(ctx, req)
			return nil, err
		})
	case "ClientStream":
		return r.clientStream(client)
	case "ServerStream":
		return r.serverStream(client)
	case "BidiStream":
		return r.bidiStream(client)
	default:
		return fmt.Errorf("method %q", method)
	}
}

// A response is a message that carries a payload.
type response interface {
	GetPayload() *conformancev1.ConformancePayload
}

func unary[Req proto.Message, Res response](r *result, req Req, method func(context.Context, Req) (Res, error)) error {
	if err := r.only(req); err != nil {
		return err
	}
	if after, ok := r.cancelAfterClose(); ok {
		defer time.AfterFunc(after, r.cancel).Stop()
	}
	res, err := method(r.ctx, req)
	if err != nil {
		r.failed(err)
	} else {
		r.received(res)
	}
	return nil
}

func (r *result) clientStream(client conformancev1connect.ConformanceServiceClient) error {
	s, err := client.ClientStream(r.ctx)
	if err != nil {
		r.failed(err)
		return nil
	}
	for n, packed := range r.req.GetRequestMessages() {
		req := new(conformancev1.ClientStreamRequest)
		if err := packed.UnmarshalTo(req); err != nil {
			return err
		}
		r.pause()
		if err := s.Send(req); errors.Is(err, io.EOF) {
			r.NumUnsentRequests = int32(len(r.req.GetRequestMessages()) - n)
			break
		}
	}
	if r.cancelBeforeClose() {
		r.cancel()
	} else if after, ok := r.cancelAfterClose(); ok {
		defer time.AfterFunc(after, r.cancel).Stop()
	}
	res, err := s.CloseAndReceive()
	if err != nil {
		r.failed(err)
	} else {
		r.received(res)
	}
	return nil
}

func (r *result) serverStream(client conformancev1connect.ConformanceServiceClient) error {
	req := new(conformancev1.ServerStreamRequest)
	if err := r.only(req); err != nil {
		return err
	}
	s, err := client.ServerStream(r.ctx, req)
	if err != nil {
		r.failed(err)
		return nil
	}
	r.closed()
	receiveAll(r, s.Receive)
	if err := s.Close(); err != nil {
		r.failed(err)
	}
	return nil
}

func (r *result) bidiStream(client conformancev1connect.ConformanceServiceClient) error {
	s, err := client.BidiStream(r.ctx)
	if err != nil {
		r.failed(err)
		return nil
	}
	defer func() {
		if err := s.Close(); err != nil {
			r.failed(err)
		}
	}()
	turns := r.req.GetStreamType() == conformancev1.StreamType_STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM
	open := true // for more responses
	for n, packed := range r.req.GetRequestMessages() {
		req := new(conformancev1.BidiStreamRequest)
		if err := packed.UnmarshalTo(req); err != nil {
			return err
		}
		r.pause()
		if err := s.Send(req); errors.Is(err, io.EOF) {
			r.NumUnsentRequests = int32(len(r.req.GetRequestMessages()) - n)
			break // receiving tells why
		}
		if turns {
			if open = receive(r, s.Receive); !open {
				break
			}
		}
	}
	if r.cancelBeforeClose() {
		r.cancel()
	}
	if err := s.CloseSend(); err != nil {
		r.failed(err)
	}
	r.closed()
	if open {
		receiveAll(r, s.Receive)
	}
	return nil
}

// receive takes one response, and reports whether there may be more.
func receive[Res response](r *result, next func() (Res, error)) bool {
	res, err := next()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			r.failed(err)
		}
		return false
	}
	r.received(res)
	if c, ok := r.req.GetCancel().GetCancelTiming().(*conformancev1.ClientCompatRequest_Cancel_AfterNumResponses); ok && len(r.Payloads) == int(c.AfterNumResponses) {
		r.cancel()
	}
	return true
}

func receiveAll[Res response](r *result, next func() (Res, error)) {
	for receive(r, next) {
	}
}

// only unpacks the request of a method that takes one.
func (r *result) only(into proto.Message) error {
	if n := len(r.req.GetRequestMessages()); n != 1 {
		return fmt.Errorf("%d requests of a method that takes one", n)
	}
	return r.req.GetRequestMessages()[0].UnmarshalTo(into)
}

func (r *result) received(res response) { r.Payloads = append(r.Payloads, res.GetPayload()) }

// failed keeps the first error of the call.
func (r *result) failed(err error) {
	if r.Error != nil {
		return
	}
	r.Error = &conformancev1.Error{Code: conformancev1.Code(connect.CodeOf(err))}
	var e *connect.Error
	if !errors.As(err, &e) {
		r.Error.Message = proto.String(err.Error())
		return
	}
	r.Error.Message = proto.String(e.Message())
	for _, detail := range e.Details() {
		r.Error.Details = append(r.Error.Details, connectproto.ErrorDetailToAny(detail))
	}
}

// cancelAfterClose returns how long after the last request the call is to be
// cancelled, if it is.
func (r *result) cancelAfterClose() (time.Duration, bool) {
	if r.req.GetCancel() == nil {
		return 0, false
	}
	switch when := r.req.GetCancel().GetCancelTiming().(type) {
	case *conformancev1.ClientCompatRequest_Cancel_AfterCloseSendMs:
		return time.Duration(when.AfterCloseSendMs) * time.Millisecond, true
	case nil:
		return 0, true
	default:
		return 0, false
	}
}

func (r *result) cancelBeforeClose() bool {
	_, ok := r.req.GetCancel().GetCancelTiming().(*conformancev1.ClientCompatRequest_Cancel_BeforeCloseSend)
	return ok
}

// closed cancels the call of a stream that has just been closed for sending, if
// that is to be.
func (r *result) closed() {
	if after, ok := r.cancelAfterClose(); ok {
		<-time.After(after)
		r.cancel()
	}
}

// pause is before each request of a stream.
func (r *result) pause() {
	if ms := r.req.GetRequestDelayMs(); ms > 0 {
		<-time.After(time.Duration(ms) * time.Millisecond)
	}
}

func list(h *connect.Header) []*conformancev1.Header {
	var all []*conformancev1.Header
	for name, values := range h.All() {
		all = append(all, &conformancev1.Header{Name: name, Value: values})
	}
	return all
}
