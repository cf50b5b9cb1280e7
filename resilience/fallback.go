package resilience

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// FallbackRule says what to answer in place of a call that failed.
// [FallbackFor] makes one.
type FallbackRule struct {
	procedure string
	codes     []connect.Code
	req, res  protoreflect.FullName
	answer    func(ctx context.Context, req, res any, err error) error
}

// FallbackFor answers unary calls of procedure ("/pkg.Service/Method") that
// ended with one of codes by what answer returns; an error of answer goes to
// the caller. ctx may have ended. The answer has no response headers. The
// verdicts unauthenticated, permission_denied and invalid_argument are never
// hidden: they tell that the call was wrong, not the server. Calls with dynamic
// messages are left alone.
//
// FallbackFor panics on one of these codes, no codes, no answer, or a procedure
// of another form. Where Req and Res are not the messages of the procedure,
// every call of it fails with internal, so that this shows before the day the
// fallback is needed.
func FallbackFor[Req, Res proto.Message](
	procedure string, answer func(ctx context.Context, req Req, err error) (Res, error), codes ...connect.Code,
) FallbackRule {
	if service, method, ok := strings.Cut(strings.TrimPrefix(procedure, "/"), "/"); !ok || procedure[0] != '/' || service == "" || method == "" {
		panic(fmt.Sprintf("resilience: FallbackFor(%q): want a procedure like /pkg.Service/Method", procedure))
	}
	if answer == nil || len(codes) == 0 {
		panic("resilience: FallbackFor(" + procedure + ") needs an answer and the codes it stands in for")
	}
	for _, code := range codes {
		switch {
		case code == connect.CodeUnauthenticated, code == connect.CodePermissionDenied, code == connect.CodeInvalidArgument:
			panic(fmt.Sprintf("resilience: FallbackFor(%s) must not hide %v", procedure, code))
		case !valid(code):
			panic(fmt.Sprintf("resilience: FallbackFor(%s): no call ends with %v", procedure, code))
		}
	}
	var req Req
	var res Res
	return FallbackRule{
		procedure: procedure, codes: slices.Clone(codes), req: nameOf(req), res: nameOf(res),
		answer: func(ctx context.Context, req, res any, err error) error {
			request, ok := req.(Req)
			target, also := res.(proto.Message)
			if _, typed := res.(Res); !ok || !also || !typed {
				return err // dynamic messages
			}
			got, failure := answer(ctx, request, err)
			if failure != nil {
				return failure
			}
			proto.Reset(target)
			proto.Merge(target, got)
			return nil
		},
	}
}

// Procedure returns the procedure that the rule is for, "" for the zero rule.
func (r FallbackRule) Procedure() string { return r.procedure }

// Fallback returns a client interceptor that applies the rule of a call's
// procedure, if there is one. Streams are left alone. It panics on a FallbackRule
// that [FallbackFor] has not made, and on two for one procedure.
func Fallback(rules ...FallbackRule) connect.ClientInterceptor {
	by := map[string]FallbackRule{}
	for _, r := range rules {
		if r.answer == nil {
			panic("resilience: Fallback: a FallbackRule is empty; make it with FallbackFor")
		}
		if _, taken := by[r.procedure]; taken {
			panic("resilience: Fallback: two rules for " + r.procedure)
		}
		by[r.procedure] = r
	}
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			rule, ok := by[spec.Procedure]
			if !ok || spec.StreamType != connect.StreamTypeUnary {
				return next(ctx, spec)
			}
			if err := rule.fits(spec); err != nil {
				return nil, err
			}
			return unary(ctx, func(ctx context.Context, outer *connect.CallInfo, req, res any) error {
				info, err := attempt(ctx, spec, next, outer, req, res)
				if err == nil || !slices.Contains(rule.codes, codeOf(err)) {
					adopt(outer, info)
					return err
				}
				if err = rule.answer(ctx, req, res, err); err != nil {
					adopt(outer, info)
				}
				return err
			}), nil
		}
	}
}

// fits checks the types of the rule against the schema, where there is one.
func (r FallbackRule) fits(spec connect.Spec) error {
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return nil
	}
	in, out := method.Input().FullName(), method.Output().FullName()
	if r.req != "" && r.req != in || r.res != "" && r.res != out {
		return connect.NewError(connect.CodeInternal, "a fallback is made for other messages").
			WithCause(fmt.Errorf("resilience: FallbackFor(%s) is for %s and %s, the method for %s and %s", r.procedure, r.req, r.res, in, out)).
			WithRemote()
	}
	return nil
}

// nameOf is the name of a message type, or "" for one that holds any.
func nameOf[M proto.Message](m M) protoreflect.FullName {
	if proto.Message(m) == nil {
		return "" // an interface
	}
	if _, dynamic := proto.Message(m).(*dynamicpb.Message); dynamic {
		return ""
	}
	return m.ProtoReflect().Descriptor().FullName()
}
