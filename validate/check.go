package validate

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
)

// direction is which way a message goes.
type direction string

const (
	request  direction = "request"
	response direction = "response"
)

// small is the size up to which all violations of a message are looked for, in
// bytes as protobuf. A violation takes about a kilobyte of memory, and an
// element that breaks a rule as little as two bytes of a message, so that of
// larger ones only the first is.
const small = 8 << 10

// failFast is made once: it costs a call nothing.
var failFast = []protovalidate.ValidationOption{protovalidate.WithFailFast()}

// check validates msg. What a client did wrong is a *connect.Error for it;
// everything else is an error for the log: a response that breaks a rule, and
// validation that could not run, which never passes a message.
func (r *rules) check(msg any, way direction) error {
	m, ok := msg.(proto.Message)
	if !ok {
		if r.desc == nil {
			return nil // of another schema system, which has no rules
		}
		return fmt.Errorf("validate %s: the message is %T", r.desc.FullName(), msg)
	}
	if desc := m.ProtoReflect().Descriptor(); desc != r.desc {
		other, err := r.set.of(desc) // a dynamic message, or no schema was given
		if err != nil {
			return err
		}
		if other == nil {
			return nil
		}
		r = other
	}
	var opts []protovalidate.ValidationOption
	if proto.Size(m) > small {
		opts = failFast
	}
	threw, err := try(r.validator, m, opts...)
	if threw == nil && err == nil {
		return nil
	}
	violated, ok := errors.AsType[*protovalidate.ValidationError](err)
	switch {
	case threw != nil || !ok:
		return r.failed(threw, err)
	case way == response:
		return fmt.Errorf("the response %s breaks rules: %s", r.desc.FullName(), r.report(violated).text())
	}
	return r.report(violated).error(way)
}

// failed tells the log that validation could not run. It tells why where that
// holds nothing of the message.
func (r *rules) failed(threw any, err error) error {
	if r.shape.secrets[r.desc.FullName()] {
		return fmt.Errorf("validate %s: %s; the reason may hold what has debug_redact", r.desc.FullName(), kindOf(threw))
	}
	if threw != nil {
		return fmt.Errorf("validate %s: panic: %v", r.desc.FullName(), threw)
	}
	return fmt.Errorf("validate %s: %w", r.desc.FullName(), err)
}

func kindOf(threw any) string {
	if threw != nil {
		return "a rule panicked"
	}
	return "a rule could not be evaluated"
}

// error makes the refusal of a message.
func (r *report) error(way direction) *connect.Error {
	err := connect.NewError(connect.CodeInvalidArgument, "invalid "+string(way)+": "+r.text())
	for _, d := range r.details() {
		err = err.WithDetail(d)
	}
	return err
}

// clip bounds a text that a peer may have made long.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
