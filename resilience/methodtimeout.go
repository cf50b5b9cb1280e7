package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/connectum-go/connectum"
)

// MethodTimeout bounds calls by what their methods say in the schema: option is
// an extension of google.protobuf.MethodOptions of type
// google.protobuf.Duration.
//
//	extend google.protobuf.MethodOptions { google.protobuf.Duration timeout = 50001; }
//	rpc Report(...) returns (...) { option (timeout) = {seconds: 5}; }
//
// The shortest of this, the client's deadline and the server's own holds. It
// bounds streams too. A method without the option is left out. An option of
// another type, or a value that is not positive, is a start error of the server.
func MethodTimeout(option protoreflect.ExtensionType) connectum.Interceptor {
	return connectum.Interceptor{
		Name: "method-timeout",
		Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
			limit, err := methodTimeout(spec, option)
			if err != nil || limit <= 0 {
				return nil, err
			}
			why := connect.Errorf(connect.CodeDeadlineExceeded, "the call took longer than its method's limit of %v", limit)
			return func(next connect.ServerFunc) connect.ServerFunc {
				return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
					if spec.StreamType != connect.StreamTypeUnary {
						timer := time.AfterFunc(limit, func() { connectum.End(ctx, why) })
						defer timer.Stop()
						return next(ctx, spec, stream)
					}
					bounded, cancel := context.WithTimeoutCause(ctx, limit, why)
					defer cancel()
					err := next(bounded, spec, &boundedStream{stream, bounded, why})
					if bounded.Err() == context.DeadlineExceeded && ctx.Err() == nil {
						return why.WithCause(context.DeadlineExceeded)
					}
					return err
				}
			}, nil
		},
	}
}

// boundedStream sends no answer after the time of the call.
type boundedStream struct {
	connect.ServerStream
	ctx context.Context
	why *connect.Error
}

func (s *boundedStream) Send(msg any) error {
	if s.ctx.Err() == context.DeadlineExceeded {
		return s.why
	}
	return s.ServerStream.Send(msg)
}

func methodTimeout(spec connect.Spec, option protoreflect.ExtensionType) (time.Duration, error) {
	if option == nil {
		return 0, errors.New("MethodTimeout has no option")
	}
	d := option.TypeDescriptor()
	if d.ContainingMessage().FullName() != "google.protobuf.MethodOptions" {
		return 0, fmt.Errorf("option %s is one of %s, not of methods", d.FullName(), d.ContainingMessage().FullName())
	}
	if d.Message() == nil || d.Message().FullName() != "google.protobuf.Duration" || d.IsList() {
		return 0, fmt.Errorf("option %s is not a google.protobuf.Duration", d.FullName())
	}
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok || method.Options() == nil || !proto.HasExtension(method.Options(), option) {
		return 0, nil
	}
	limit, ok := proto.GetExtension(method.Options(), option).(*durationpb.Duration)
	if !ok { // a dynamic message
		raw, err := proto.Marshal(proto.GetExtension(method.Options(), option).(proto.Message))
		if err == nil {
			limit = new(durationpb.Duration)
			err = proto.Unmarshal(raw, limit)
		}
		if err != nil {
			return 0, fmt.Errorf("read option %s of %s: %w", d.FullName(), method.FullName(), err)
		}
	}
	if err := limit.CheckValid(); err != nil || limit.AsDuration() <= 0 {
		return 0, fmt.Errorf("option %s of %s is %v: it must be positive", d.FullName(), method.FullName(), limit.AsDuration())
	}
	return limit.AsDuration(), nil
}
