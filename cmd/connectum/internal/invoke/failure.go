package invoke

import (
	"encoding/json"
	"errors"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Failure is the verdict of a server with its details decoded.
type Failure struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []Detail `json:"details,omitempty"`

	err error
}

// Detail is one detail of an error. Value is its JSON, or null when nobody
// knows its type; then Bytes has it as it came.
type Detail struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Bytes []byte          `json:"bytes,omitempty"`
}

// Decode returns the verdict of a server that is in err, if there is one.
func Decode(err error, types Resolver) (*Failure, bool) {
	verdict, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil, false
	}
	f := &Failure{Code: verdict.Code().String(), Message: verdict.Message(), err: err}
	for _, d := range verdict.Details() {
		f.Details = append(f.Details, decode(d, types))
	}
	return f, true
}

func decode(d *connect.ErrorDetail, types Resolver) Detail {
	unknown := Detail{Type: d.Type, Value: json.RawMessage("null"), Bytes: d.Value}
	t, err := types.FindMessageByName(protoreflect.FullName(d.Type))
	if err != nil {
		return unknown
	}
	m := t.New().Interface()
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(d.Value, m); err != nil {
		return unknown
	}
	text, err := JSON(m, types, false, false)
	if err != nil {
		return unknown
	}
	return Detail{Type: d.Type, Value: text}
}

// Error implements error: the code and the message, then a line for each detail.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(f.Code)
	if f.Message != "" {
		b.WriteString(": " + f.Message)
	}
	for _, d := range f.Details {
		b.WriteString("\n  " + d.Type + " ")
		if d.Bytes != nil {
			b.WriteString("(of unknown type)")
			continue
		}
		b.Write(d.Value)
	}
	return b.String()
}

// Unwrap returns the error that was decoded.
func (f *Failure) Unwrap() error { return f.err }
