package connectumtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// textOf returns a message as one line of JSON, the same for the same message:
// protojson varies its spaces on purpose.
func textOf(msg any) string {
	m, ok := msg.(proto.Message)
	if !ok {
		return fmt.Sprintf("%+v", msg)
	}
	text, err := protojson.Marshal(m)
	if err != nil { // an Any of an unknown type
		text, _ = proto.MarshalOptions{Deterministic: true}.Marshal(m)
		return fmt.Sprintf("%s %x", m.ProtoReflect().Descriptor().FullName(), text)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return string(text)
	}
	return line.String()
}

// diffLines returns what makes text a into text b, line by line with the lines
// they share, or "" when they are equal.
func diffLines(a, b string) string {
	if a == b {
		return ""
	}
	x, y := strings.Split(strings.TrimSuffix(a, "\n"), "\n"), strings.Split(strings.TrimSuffix(b, "\n"), "\n")
	// shared[i][j] is the length of the longest common subsequence of x[i:]
	// and y[j:].
	shared := make([][]int, len(x)+1)
	for i := range shared {
		shared[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				shared[i][j] = shared[i+1][j+1] + 1
			} else {
				shared[i][j] = max(shared[i+1][j], shared[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			fmt.Fprintln(&out, "  "+x[i])
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && shared[i+1][j] >= shared[i][j+1]:
			fmt.Fprintln(&out, "- "+x[i])
			i++
		default:
			fmt.Fprintln(&out, "+ "+y[j])
			j++
		}
	}
	return out.String()
}

// asError returns the *connect.Error in err, or one that says what err is: a
// client sees the end of its own context as it is.
func asError(err error) *connect.Error {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err.Error())
	}
	return connect.NewError(connect.CodeUnknown, err.Error())
}

// internalError is what is left of the server's masked errors without their ids.
const internalError = "internal error"

// publicMessage returns the message of e, without the id that the server gives
// to an error that it masks.
func publicMessage(e *connect.Error) string {
	if e.Code() == connect.CodeInternal && strings.HasPrefix(e.Message(), internalError+", id ") {
		return internalError
	}
	return e.Message()
}

// detailBox returns a detail as an Any of its own.
func detailBox(d *connect.ErrorDetail) *anypb.Any {
	box := connectproto.ErrorDetailToAny(d)
	box.Value = bytes.Clone(box.GetValue())
	return box
}

// detailText returns a detail of an error as text.
func detailText(d *connect.ErrorDetail) string {
	msg, err := connectproto.UnmarshalErrorDetail(d)
	if err != nil {
		return fmt.Sprintf("%s %x", d.Type, d.Value)
	}
	return d.Type + " " + textOf(msg)
}
