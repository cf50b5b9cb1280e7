package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
)

// Reflection is a source that asks the server: grpc.reflection.v1, and v1alpha
// where that is all there is.
type Reflection struct {
	target *target.Target
	client *grpcreflect.Client
	close  func()
	stream *grpcreflect.ClientStream
	end    context.CancelFunc
}

// FromServer returns a source that asks t, over gRPC. It must be closed.
func FromServer(t *target.Target) (*Reflection, error) {
	c, closeIdle, err := t.Client(target.GRPC, target.HTTP2)
	if err != nil {
		return nil, err
	}
	return &Reflection{target: t, client: grpcreflect.NewClient(c), close: closeIdle}, nil
}

// Close ends the conversation.
func (r *Reflection) Close() {
	r.hangUp()
	r.close()
}

// goodbye is how long a server may take to end the conversation.
const goodbye = time.Second

// hangUp lets the server end the conversation, which is then no cancelled call
// in its log, but waits for none that does not.
func (r *Reflection) hangUp() {
	if r.stream == nil {
		return
	}
	late := time.AfterFunc(goodbye, r.end)
	_ = r.stream.Close() // all answers have been read
	late.Stop()
	r.end()
	r.stream = nil
}

// Services implements Source.
func (r *Reflection) Services(ctx context.Context) ([]string, error) {
	names, err := ask(ctx, r, func(s *grpcreflect.ClientStream) ([]protoreflect.FullName, error) { return s.ListServices() })
	if err != nil {
		return nil, r.explain(ctx, "", err)
	}
	out := make([]string, 0, len(names))
	for _, n := range names {
		if !n.IsValid() {
			return nil, fmt.Errorf("%s tells of a service %q, which is no name", r.target, n)
		}
		out = append(out, string(n))
	}
	return out, nil
}

// Symbol implements Source.
func (r *Reflection) Symbol(ctx context.Context, name string) ([]*descriptorpb.FileDescriptorProto, error) {
	files, err := ask(ctx, r, func(s *grpcreflect.ClientStream) ([]*descriptorpb.FileDescriptorProto, error) {
		return s.FileContainingSymbol(protoreflect.FullName(name))
	})
	return files, r.explain(ctx, name, err)
}

// File implements Source.
func (r *Reflection) File(ctx context.Context, path string) ([]*descriptorpb.FileDescriptorProto, error) {
	files, err := ask(ctx, r, func(s *grpcreflect.ClientStream) ([]*descriptorpb.FileDescriptorProto, error) {
		return s.FileByFilename(path)
	})
	return files, r.explain(ctx, path, err)
}

// ask asks one question, on the stream of the last one or, should that have
// broken in the meantime, on a new one.
func ask[T any](ctx context.Context, r *Reflection, question func(*grpcreflect.ClientStream) (T, error)) (T, error) {
	fresh := r.stream == nil
	for {
		if r.stream == nil {
			var streamCtx context.Context
			streamCtx, r.end = context.WithCancel(ctx)
			r.stream = r.client.NewStream(streamCtx)
		}
		answer, err := question(r.stream)
		if err == nil || !grpcreflect.IsReflectionStreamBroken(err) {
			return answer, err
		}
		r.hangUp()
		if fresh {
			return answer, err
		}
		fresh = true
	}
}

// explain tells what one can do about an error.
func (r *Reflection) explain(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	broken := grpcreflect.IsReflectionStreamBroken(err)
	verdict, isVerdict := errors.AsType[*connect.Error](err)
	if isVerdict && broken && verdict.Code() == connect.CodeUnimplemented { // by gRPC, or 404 by HTTP
		return exit.With(exit.RPC, fmt.Errorf("%s does not tell its schema (no reflection): --proto FILE gives it", r.target))
	}
	isVerdict = isVerdict && verdict.IsRemote()
	switch {
	case isVerdict && !broken && verdict.Code() == connect.CodeNotFound:
		return fmt.Errorf("%s does not know %s: %w", r.target, name, ErrNotFound)
	case isVerdict:
		return exit.With(exit.RPC, fmt.Errorf("ask %s for its schema: %w", r.target, verdict))
	}
	return r.target.Explain(ctx, err)
}
