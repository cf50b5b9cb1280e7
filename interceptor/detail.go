package interceptor

import (
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// FieldViolation is what is wrong with one field of a request.
type FieldViolation struct {
	Field       string // its path, as "items[1].sku"
	Description string // for people
	Reason      string // for programs, in UPPER_SNAKE_CASE; may be empty
}

// BadRequest makes the detail that tells which fields of a request are wrong
// (google.rpc.BadRequest), for invalid_argument:
//
//	return nil, connect.NewError(connect.CodeInvalidArgument, "the dates overlap").WithDetail(
//		interceptor.BadRequest(interceptor.FieldViolation{Field: "end", Description: "before start"}))
//
// Details reach clients as they are. What is not valid UTF-8 is left out.
func BadRequest(violations ...FieldViolation) *connect.ErrorDetail {
	msg := new(errdetails.BadRequest)
	for _, v := range violations {
		msg.FieldViolations = append(msg.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: clean(v.Field), Description: clean(v.Description), Reason: clean(v.Reason),
		})
	}
	return detail(msg)
}

// RetryInfo makes the detail that tells when another attempt makes sense
// (google.rpc.RetryInfo), for unavailable and resource_exhausted. Negative is
// zero: at once.
func RetryInfo(after time.Duration) *connect.ErrorDetail {
	return detail(&errdetails.RetryInfo{RetryDelay: durationpb.New(max(after, 0))})
}

// ErrorInfo makes the detail that names an error for programs
// (google.rpc.ErrorInfo): a reason in UPPER_SNAKE_CASE that is unique in the
// domain, such as "STOCK_EMPTY" in "shop.example.com", and what belongs to it.
func ErrorInfo(reason, domain string, metadata map[string]string) *connect.ErrorDetail {
	msg := &errdetails.ErrorInfo{Reason: clean(reason), Domain: clean(domain)}
	for key, value := range metadata {
		if msg.Metadata == nil {
			msg.Metadata = map[string]string{}
		}
		msg.Metadata[clean(key)] = clean(value)
	}
	return detail(msg)
}

// ResourceInfo makes the detail that names a resource
// (google.rpc.ResourceInfo), for not_found, already_exists and
// permission_denied: its type, such as "order", its name, and what is wrong.
func ResourceInfo(kind, name, description string) *connect.ErrorDetail {
	return detail(&errdetails.ResourceInfo{ResourceType: clean(kind), ResourceName: clean(name), Description: clean(description)})
}

// detail never fails: texts were made valid before.
func detail(msg proto.Message) *connect.ErrorDetail {
	d, err := connectproto.NewErrorDetail(msg)
	if err != nil {
		return nil // which WithDetail ignores
	}
	return d
}

func clean(text string) string { return strings.ToValidUTF8(text, "") }
