package connectumtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// The file is a JSON array of calls; messages are in protobuf's JSON.
type callFile struct {
	Procedure string              `json:"procedure"`
	Requests  []json.RawMessage   `json:"requests,omitempty"`
	Header    map[string][]string `json:"header,omitempty"`
	Responses []json.RawMessage   `json:"responses,omitempty"`
	Trailer   map[string][]string `json:"trailer,omitempty"`
	Error     *errorFile          `json:"error,omitempty"`
	Redacted  []string            `json:"redacted,omitempty"`
	Truncated bool                `json:"truncated,omitempty"`
}

type errorFile struct {
	Code    connect.Code `json:"code"`
	Message string       `json:"message,omitempty"`
	Details []detailFile `json:"details,omitempty"`
}

type detailFile struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message,omitempty"`
	Value   []byte          `json:"value,omitempty"` // of a type the program does not know
}

// WriteTo writes the recording as JSON.
func (r *Recording) WriteTo(w io.Writer) (int64, error) {
	files := []callFile{}
	for _, c := range r.Calls() {
		f := callFile{Procedure: c.Procedure, Header: c.Header, Trailer: c.Trailer, Redacted: c.Redacted, Truncated: c.Truncated}
		var err error
		if f.Requests, err = encode(c.Requests); err != nil {
			return 0, fmt.Errorf("write recording: request of %s: %w", c.Procedure, err)
		}
		if f.Responses, err = encode(c.Responses); err != nil {
			return 0, fmt.Errorf("write recording: response of %s: %w", c.Procedure, err)
		}
		if c.Err != nil {
			f.Error = encodeError(c.Err)
		}
		files = append(files, f)
	}
	text, err := json.MarshalIndent(files, "", "  ")
	if err != nil {
		return 0, fmt.Errorf("write recording: %w", err)
	}
	n, err := w.Write(append(text, '\n'))
	return int64(n), err
}

// Save writes the recording to a file.
func (r *Recording) Save(file string) error {
	var text bytes.Buffer
	if _, err := r.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o600)
}

// LoadRecording reads a recording from a file. The program must know the
// services in it: import their generated code. The test ends when it does not,
// or the file is wrong.
func LoadRecording(t testing.TB, file string) *Recording {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("load recording: %v", err)
	}
	r := new(Recording)
	if err := r.parse(text); err != nil {
		t.Fatalf("load recording %s: %v", file, err)
	}
	return r
}

func (r *Recording) parse(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var files []callFile
	if err := decoder.Decode(&files); err != nil {
		return err
	}
	for i, f := range files {
		method, err := methodOf(f.Procedure)
		if err != nil {
			return fmt.Errorf("call %d: %w", i+1, err)
		}
		c := &Recorded{Procedure: f.Procedure, Header: f.Header, Trailer: f.Trailer, Redacted: f.Redacted, Truncated: f.Truncated}
		if c.Requests, err = decode(method.Input(), f.Requests); err != nil {
			return fmt.Errorf("call %d: request of %s: %w", i+1, f.Procedure, err)
		}
		if c.Responses, err = decode(method.Output(), f.Responses); err != nil {
			return fmt.Errorf("call %d: response of %s: %w", i+1, f.Procedure, err)
		}
		if f.Error != nil {
			if c.Err, err = f.Error.decode(); err != nil {
				return fmt.Errorf("call %d: error of %s: %w", i+1, f.Procedure, err)
			}
		}
		r.calls = append(r.calls, c)
	}
	return nil
}

// methodOf finds a procedure's schema among the program's.
func methodOf(procedure string) (protoreflect.MethodDescriptor, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(procedure, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, fmt.Errorf("procedure %s: import the generated code of its service: %w", procedure, err)
	}
	method, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("procedure %s is no method", procedure)
	}
	return method, nil
}

func encode(msgs []proto.Message) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for _, msg := range msgs {
		text, err := protojson.MarshalOptions{AllowPartial: true}.Marshal(msg)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

func decode(desc protoreflect.MessageDescriptor, texts []json.RawMessage) ([]proto.Message, error) {
	var out []proto.Message
	for _, text := range texts {
		msg := newMessage(desc)
		if err := (protojson.UnmarshalOptions{AllowPartial: true}).Unmarshal(text, msg); err != nil {
			return nil, err
		}
		out = append(out, msg)
	}
	return out, nil
}

func encodeError(e *connect.Error) *errorFile {
	f := &errorFile{Code: e.Code(), Message: e.Message()}
	for _, d := range e.Details() {
		detail := detailFile{Type: d.Type}
		if msg, err := detailBox(d).UnmarshalNew(); err != nil {
			detail.Value = d.Value
		} else if detail.Message, err = (protojson.MarshalOptions{AllowPartial: true}).Marshal(msg); err != nil {
			detail.Value = d.Value
		}
		f.Details = append(f.Details, detail)
	}
	return f
}

func (f *errorFile) decode() (*connect.Error, error) {
	e := connect.NewError(f.Code, f.Message)
	for _, d := range f.Details {
		detail := &connect.ErrorDetail{Type: d.Type, Value: d.Value}
		if d.Message != nil {
			desc, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(d.Type))
			if err != nil {
				return nil, err
			}
			msg := desc.New().Interface()
			if err := (protojson.UnmarshalOptions{AllowPartial: true}).Unmarshal(d.Message, msg); err != nil {
				return nil, err
			}
			var box anypb.Any
			if err := anypb.MarshalFrom(&box, msg, proto.MarshalOptions{AllowPartial: true, Deterministic: true}); err != nil {
				return nil, err
			}
			detail.Value = box.GetValue()
		}
		e = e.WithDetail(detail)
	}
	return e, nil
}
