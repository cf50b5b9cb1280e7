package interceptor

import (
	"errors"
	"fmt"

	"connectrpc.com/connect/v2"
)

// ErrorRule is a line of [ErrorsConfig].Table. Make one with [ErrorIs] or
// [ErrorAs]. It is safe for concurrent use.
type ErrorRule struct {
	match func(err error) *connect.Error
	fault string // what is wrong with the rule, a start error
}

// ErrorIs tells clients code, message and details of errors for which
// [errors.Is] finds target.
//
//	interceptor.ErrorIs(sql.ErrNoRows, connect.CodeNotFound, "there is none of that name")
//
// A nil target, and a code that no call fails with, are start errors.
func ErrorIs(target error, code connect.Code, message string, details ...*connect.ErrorDetail) ErrorRule {
	told := connect.NewError(code, message)
	for _, d := range details {
		told = told.WithDetail(d)
	}
	rule := ErrorRule{match: func(err error) *connect.Error {
		if !errors.Is(err, target) {
			return nil
		}
		return told
	}}
	switch {
	case target == nil:
		rule.fault = "ErrorIs(nil) matches no error"
	case !isCode(code):
		rule.fault = fmt.Sprintf("ErrorIs(%v): no call fails with %v", target, code)
	}
	return rule
}

// ErrorAs tells clients what tell makes of an error of type E, wherever
// [errors.As] finds one. When tell returns nil the next rule is asked. A nil tell
// is a start error.
//
//	interceptor.ErrorAs(func(err *StockError) *connect.Error {
//		return connect.Errorf(connect.CodeFailedPrecondition, "only %d left", err.Left)
//	})
//
// Errors of servers that the handler has called are of type *connect.Error.
func ErrorAs[E error](tell func(E) *connect.Error) ErrorRule {
	rule := ErrorRule{match: func(err error) *connect.Error {
		found, ok := errors.AsType[E](err)
		if !ok {
			return nil
		}
		return tell(found)
	}}
	if tell == nil {
		rule.fault = "ErrorAs has no function"
	}
	return rule
}
