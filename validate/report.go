package validate

import (
	"fmt"
	"strings"

	validatepb "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/internal/redact"
)

// What a refusal may take. In gRPC it travels in one header field, for which
// proxies have as little as 16 KiB.
const (
	maxViolations = 32      // of the details
	maxDetails    = 4 << 10 // bytes, of each of the two details
	maxTold       = 3       // violations in the message
	maxText       = 256     // bytes, of one violation
	maxKey        = 64      // bytes, of a map's key in a path
)

// report is what clients are told of a message that breaks rules.
type report struct {
	violations []*validatepb.Violation
	left       int // not told
}

// report makes a report, in the order of the rules, without the values of
// secret fields.
func (r *rules) report(err *protovalidate.ValidationError) *report {
	out := new(report)
	size := 0
	for i, v := range err.Violations {
		told := r.told(v.Proto)
		if size += proto.Size(told) + 4; i == maxViolations || i > 0 && size > maxDetails {
			out.left = len(err.Violations) - i
			break
		}
		out.violations = append(out.violations, told)
	}
	return out
}

// told returns a copy of v that may be told.
func (r *rules) told(v *validatepb.Violation) *validatepb.Violation {
	v = proto.CloneOf(v)
	target, secret := r.walk(v.GetField())
	if custom(v) && !r.shape.fixed[fixedText{v.GetRuleId(), v.GetMessage()}] && (secret || r.shape.mayHoldSecrets(target)) {
		v.SetMessage("the rule is broken") // its text may hold the value
	}
	v.SetMessage(clip(v.GetMessage(), maxText))
	return v
}

// walk follows a path from the message down and takes out of it, where it is
// secret, what a peer has put in. It returns the type of the message at the
// end, nil for a scalar, and whether the path leads through a secret.
func (r *rules) walk(path *validatepb.FieldPath) (end protoreflect.MessageDescriptor, secret bool) {
	end = r.desc
	for _, e := range path.GetElements() {
		if end == nil {
			break
		}
		var fd protoreflect.FieldDescriptor
		if n := e.GetFieldNumber(); n > 0 { // a oneof has none
			fd = end.Fields().ByNumber(protoreflect.FieldNumber(n))
		}
		if fd == nil {
			continue
		}
		secret = secret || redact.CanBeSecret(fd)
		switch {
		case !secret:
			if e.HasStringKey() {
				e.SetStringKey(clip(e.GetStringKey(), maxKey))
			}
		case fd.IsMap():
			e.ClearSubscript()
		}
		end = elementType(fd)
	}
	return end, secret
}

// custom reports a rule whose text is made by the schema's author. What
// protovalidate's own rules say depends on the rule alone.
func custom(v *validatepb.Violation) bool {
	elements := v.GetRule().GetElements()
	if len(elements) == 0 { // of a message or a oneof
		return v.GetRuleId() != "message.oneof" && v.GetRuleId() != "required"
	}
	for _, e := range elements {
		if name := e.GetFieldName(); name == "cel" || name == "cel_expression" || strings.HasPrefix(name, "[") {
			return true
		}
	}
	return false
}

// mayHoldSecrets reports whether a rule of a message of that type may have seen
// a secret; of a scalar (nil) it sees that alone.
func (sh *shape) mayHoldSecrets(desc protoreflect.MessageDescriptor) bool {
	return desc != nil && sh.secrets[desc.FullName()]
}

// text is the message of the error: where, what and which rule.
func (r *report) text() string {
	var b strings.Builder
	for i, v := range r.violations {
		if i == maxTold {
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		if path := protovalidate.FieldPathString(v.GetField()); path != "" {
			b.WriteString(clip(path, maxText) + ": ")
		}
		b.WriteString(v.GetMessage())
		if id := v.GetRuleId(); id != "" {
			fmt.Fprintf(&b, " [%s]", clip(id, maxText))
		}
	}
	if more := len(r.violations) - maxTold + r.left; more > 0 && len(r.violations) >= maxTold {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// details are the violations for programs.
func (r *report) details() []*connect.ErrorDetail {
	request := new(errdetails.BadRequest)
	for _, v := range r.violations {
		request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field:       protovalidate.FieldPathString(v.GetField()),
			Description: v.GetMessage(),
			Reason:      reason(v.GetRuleId()),
		})
	}
	var out []*connect.ErrorDetail
	for _, msg := range []proto.Message{request, validatepb.Violations_builder{Violations: r.violations}.Build()} {
		if d, err := connectproto.NewErrorDetail(msg); err == nil {
			out = append(out, d)
		}
	}
	return out
}

// reason tells a rule in the form that google.rpc.BadRequest asks for:
// UPPER_SNAKE_CASE of at most 63 characters. An id that is an expression has
// none.
func reason(id string) string {
	out := []byte(strings.ToUpper(id))
	for i, c := range out {
		switch {
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.' || c == '-' || c == '_':
			out[i] = '_'
		default:
			return ""
		}
	}
	return strings.TrimRight(strings.TrimLeft(string(out[:min(len(out), 63)]), "_0123456789"), "_")
}
