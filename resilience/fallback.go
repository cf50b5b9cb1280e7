package resilience

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// FallbackRule says what to answer in place of a call that failed.
// [FallbackFor] makes one.
type FallbackRule struct {
	procedure string
	codes     []connect.Code
	answer    func(ctx context.Context, req, res any, err error) error
}

// FallbackFor answers unary calls of procedure ("/pkg.Service/Method") that
// ended with one of codes by what answer returns; an error of answer goes to
// the caller. The answer has no response headers. The verdicts unauthenticated,
// permission_denied and invalid_argument are never hidden: they tell that the
// call was wrong, not the server. FallbackFor panics on one of these codes, no
// codes, or no answer.
func FallbackFor[Req, Res proto.Message](
	procedure string, answer func(ctx context.Context, req Req, err error) (Res, error), codes ...connect.Code,
) FallbackRule {
	if answer == nil || len(codes) == 0 {
		panic("resilience: FallbackFor(" + procedure + ") needs an answer and the codes it stands in for")
	}
	for _, code := range codes {
		switch code {
		case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeInvalidArgument:
			panic(fmt.Sprintf("resilience: FallbackFor(%s) must not hide %v", procedure, code))
		}
	}
	return FallbackRule{procedure, slices.Clone(codes), func(ctx context.Context, req, res any, err error) error {
		request, ok := req.(Req)
		target, also := res.(proto.Message)
		if !ok || !also {
			return err // dynamic messages
		}
		got, failure := answer(ctx, request, err)
		if failure != nil {
			return failure
		}
		proto.Reset(target)
		proto.Merge(target, got)
		return nil
	}}
}

// Fallback returns a client interceptor that applies the rule of a call's
// procedure, if there is one. Streams are left alone.
func Fallback(rules ...FallbackRule) connect.ClientInterceptor {
	by := map[string]FallbackRule{}
	for _, r := range rules {
		if _, taken := by[r.procedure]; taken {
			panic("resilience: two fallbacks for " + r.procedure)
		}
		by[r.procedure] = r
	}
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			rule, ok := by[spec.Procedure]
			if !ok || spec.StreamType != connect.StreamTypeUnary {
				return next(ctx, spec)
			}
			return unary(ctx, func(ctx context.Context, _ *connect.CallInfo, req, res any) error {
				err := translate(ctx, exchange(ctx, spec, next, req, res))
				if err == nil || !slices.Contains(rule.codes, codeOf(err)) {
					return err
				}
				return rule.answer(ctx, req, res, err)
			}), nil
		}
	}
}
