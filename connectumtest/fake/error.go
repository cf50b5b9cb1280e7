package fake

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"buf.build/go/protovalidate"
)

// Error tells that no valid message was found within the bound of the search:
// the rules contradict each other, or hide their meaning from it. It lists
// what the best proposal still breaks.
type Error struct {
	Violations []Violation // sorted by path, never empty
}

// Violation is one rule that stood in the way.
type Violation struct {
	Path string // of the field, as in "items[2].price"; empty for the message itself
	Rule string // the id of the rule: "string.pattern", or that of a CEL rule
	Text string // protovalidate's words on it
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("no valid message found")
	for i, v := range e.Violations {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		path := v.Path
		if path == "" {
			path = "the message"
		}
		fmt.Fprintf(&b, "%s%s: %s [%s]", sep, path, v.Text, v.Rule)
	}
	return b.String()
}

func newError(violations []*protovalidate.Violation) *Error {
	e := new(Error)
	for _, v := range violations {
		e.Violations = append(e.Violations, Violation{
			Path: protovalidate.FieldPathString(v.Proto.GetField()),
			Rule: v.Proto.GetRuleId(),
			Text: v.Proto.GetMessage(),
		})
	}
	return e
}

// verdict is what the validator says of a message.
type verdict struct {
	violations []*protovalidate.Violation // sorted: maps are walked in any order
	runtime    error                      // a CEL expression that could not be evaluated
}

func (v verdict) valid() bool { return len(v.violations) == 0 && v.runtime == nil }

// worse orders verdicts; one that could not be reached is the worst.
func (v verdict) worse(o verdict) bool {
	if (v.runtime != nil) != (o.runtime != nil) {
		return v.runtime != nil
	}
	return len(v.violations) > len(o.violations)
}

// judge sorts the validator's error into a verdict; err is set for rules that
// do not compile, which no proposal can mend.
func judge(result error) (v verdict, err error) {
	if result == nil {
		return v, nil
	}
	if invalid, ok := errors.AsType[*protovalidate.ValidationError](result); ok {
		v.violations = slices.Clone(invalid.Violations)
		slices.SortStableFunc(v.violations, func(a, b *protovalidate.Violation) int {
			return strings.Compare(order(a), order(b))
		})
		return v, nil
	}
	if runtime, ok := errors.AsType[*protovalidate.RuntimeError](result); ok {
		v.runtime = runtime
		return v, nil
	}
	return v, result
}

func order(v *protovalidate.Violation) string {
	return protovalidate.FieldPathString(v.Proto.GetField()) + "\x00" + v.Proto.GetRuleId()
}
