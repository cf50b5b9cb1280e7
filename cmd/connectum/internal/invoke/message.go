package invoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
)

// Resolver finds the types that messages and the details of errors hold.
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// Messages yields the messages of a request, one after the other, and io.EOF
// after the last.
type Messages func() (proto.Message, error)

// ReadJSON reads messages of type md from JSON values that follow each other, as
// they come: one to a line, or over many.
func ReadJSON(r io.Reader, md protoreflect.MessageDescriptor, types Resolver) Messages {
	values := json.NewDecoder(r)
	n := 0
	return func() (proto.Message, error) {
		n++
		var value json.RawMessage
		if err := values.Decode(&value); errors.Is(err, io.EOF) {
			return nil, io.EOF
		} else if err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("message %d is no JSON: %s", n, strings.TrimPrefix(err.Error(), "json: ")))
		}
		m := dynamicpb.NewMessage(md)
		if err := (protojson.UnmarshalOptions{Resolver: types}).Unmarshal(value, m); err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("message %d is no %s: %s", n, md.FullName(), plain(err)))
		}
		return m, nil
	}
}

// plain takes from an error of protobuf what is for its authors. It mixes
// no-break spaces in, so that nobody depends on its texts.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}

// Once yields m alone.
func Once(m proto.Message) Messages {
	return func() (proto.Message, error) {
		if m == nil {
			return nil, io.EOF
		}
		out := m
		m = nil
		return out, nil
	}
}

// JSON writes m as JSON: on one line, or indented. The form is stable, unlike
// that of protojson.
func JSON(m proto.Message, types Resolver, indent, defaults bool) ([]byte, error) {
	loose, err := protojson.MarshalOptions{Resolver: types, EmitDefaultValues: defaults}.Marshal(m)
	if err != nil {
		return nil, errors.New(plain(err))
	}
	var out bytes.Buffer
	if indent {
		err = json.Indent(&out, loose, "", "  ")
	} else {
		err = json.Compact(&out, loose)
	}
	return out.Bytes(), err
}
