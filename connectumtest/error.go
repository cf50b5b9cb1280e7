package connectumtest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// WantError fails the test unless err is, or wraps, a *connect.Error of that
// code which meets every aspect. It returns the error, nil when there is none.
func WantError(t testing.TB, err error, code connect.Code, aspects ...Aspect) *connect.Error {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %v", code)
		return nil
	}
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		t.Errorf("error is a %T, want a *connect.Error with %v: %v", err, code, err)
		return nil
	}
	if e.Code() != code {
		t.Errorf("error has code %v, want %v: %v", e.Code(), code, err)
	}
	for _, a := range aspects {
		if fault := a.check(e); fault != "" {
			t.Error(fault)
		}
	}
	return e
}

// Aspect is something [WantError] wants of an error besides its code.
type Aspect interface{ check(*connect.Error) string }

type aspect func(*connect.Error) string

func (a aspect) check(e *connect.Error) string { return a(e) }

// Containing wants a message that contains text.
func Containing(text string) Aspect {
	return aspect(func(e *connect.Error) string {
		if strings.Contains(e.Message(), text) {
			return ""
		}
		return fmt.Sprintf("error has message %q, want it to contain %q", e.Message(), text)
	})
}

// Matching wants a message that pattern, a regular expression, matches. It
// panics on one that does not compile.
func Matching(pattern string) Aspect {
	re := regexp.MustCompile(pattern)
	return aspect(func(e *connect.Error) string {
		if re.MatchString(e.Message()) {
			return ""
		}
		return fmt.Sprintf("error has message %q, want it to match %q", e.Message(), pattern)
	})
}

// WithDetail wants a detail that equals want.
func WithDetail(want proto.Message) Aspect {
	return aspect(func(e *connect.Error) string {
		name := string(want.ProtoReflect().Descriptor().FullName())
		var diffs, others []string
		for _, d := range e.Details() {
			if d.Type != name {
				others = append(others, d.Type)
				continue
			}
			got := want.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(d.Value, got); err != nil {
				diffs = append(diffs, err.Error())
			} else if diff := Diff(want, got); diff != "" {
				diffs = append(diffs, diff)
			} else {
				return ""
			}
		}
		if len(diffs) == 0 {
			return fmt.Sprintf("error has no detail %s, only %q: %v", name, others, e)
		}
		return fmt.Sprintf("error has no such detail %s (-want +got):\n%s", name, strings.Join(diffs, "\n"))
	})
}

// Detail returns the first detail of err of the type of M, and whether there
// is one:
//
//	info, ok := connectumtest.Detail[*errdetails.RetryInfo](err)
func Detail[M proto.Message](err error) (M, bool) {
	var none M
	if e, ok := errors.AsType[*connect.Error](err); ok {
		for _, d := range e.Details() {
			if msg, err := connectproto.UnmarshalErrorDetail(d); err == nil {
				if m, ok := msg.(M); ok {
					return m, true
				}
			}
		}
	}
	return none, false
}

// Want fails the test with a readable difference unless got equals want, as
// messages or anything that holds messages do.
func Want(t testing.TB, got, want any) {
	t.Helper()
	if diff := Diff(want, got); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
}

// Diff returns the difference of two values, in which messages are compared as
// messages, or "" when there is none. It panics on values with unexported
// fields that are no messages, as cmp.Diff does.
func Diff(want, got any) string { return cmp.Diff(want, got, protocmp.Transform()) }
