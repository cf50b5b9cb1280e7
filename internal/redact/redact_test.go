package redact_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/internal/redact"
)

// schema has every kind of field that may be marked, and their like that are not.
const schema = `
name: "redact.proto" syntax: "proto3" package: "redact.test"
enum_type { name: "Kind"
	value { name: "KIND_UNSPECIFIED" number: 0 }
	value { name: "KIND_SPY" number: 1 options { debug_redact: true } }
	value { name: "KIND_CLERK" number: 2 options { deprecated: true } }
}
enum_type { name: "Shape" value { name: "SHAPE_UNSPECIFIED" number: 0 } value { name: "SHAPE_ROUND" number: 1 } }
message_type { name: "All"
	field { name: "plain" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
	field { name: "text" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL options { debug_redact: true } }
	field { name: "old" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL options { deprecated: true debug_redact: false } }
	field { name: "texts" number: 4 type: TYPE_STRING label: LABEL_REPEATED options { debug_redact: true } }
	field { name: "inner" number: 5 type: TYPE_MESSAGE type_name: ".redact.test.All" label: LABEL_OPTIONAL }
	field { name: "whole" number: 6 type: TYPE_MESSAGE type_name: ".redact.test.All" label: LABEL_OPTIONAL options { debug_redact: true } }
	field { name: "kind" number: 7 type: TYPE_ENUM type_name: ".redact.test.Kind" label: LABEL_OPTIONAL }
	field { name: "kinds" number: 8 type: TYPE_ENUM type_name: ".redact.test.Kind" label: LABEL_REPEATED }
	field { name: "by_name" number: 9 type: TYPE_MESSAGE type_name: ".redact.test.All.ByNameEntry" label: LABEL_REPEATED }
	field { name: "labels" number: 10 type: TYPE_MESSAGE type_name: ".redact.test.All.LabelsEntry" label: LABEL_REPEATED options { debug_redact: true } }
	field { name: "shape" number: 11 type: TYPE_ENUM type_name: ".redact.test.Shape" label: LABEL_OPTIONAL }
	field { name: "chosen" number: 12 type: TYPE_ENUM type_name: ".redact.test.Shape" label: LABEL_OPTIONAL options { debug_redact: true } }
	nested_type { name: "ByNameEntry" options { map_entry: true }
		field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "value" number: 2 type: TYPE_ENUM type_name: ".redact.test.Kind" label: LABEL_OPTIONAL }
	}
	nested_type { name: "LabelsEntry" options { map_entry: true }
		field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
	}
}`

// all describes the message. It is in no registry, which tests beside share.
func all(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(schema), file); err != nil {
		t.Fatal(err)
	}
	built, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		t.Fatal(err)
	}
	return built.Messages().ByName("All")
}

func TestSecretIsWhatTheSchemaMarks(t *testing.T) {
	t.Parallel()
	d := all(t)
	for _, c := range []struct {
		field, message  string
		secret, ofOther bool // with this value; with some other
	}{
		{"plain", `plain: "a"`, false, false},
		{"text", `text: "a"`, true, true},
		{"text", ``, true, true},
		{"old", `old: "a"`, false, false},
		{"texts", `texts: ["a", "b"]`, true, true},
		{"texts", ``, true, true},
		{"inner", `inner { text: "a" kind: KIND_SPY }`, false, false}, // its fields are
		{"whole", `whole { plain: "a" }`, true, true},
		{"kind", `kind: KIND_SPY`, true, true},
		{"kind", `kind: KIND_CLERK`, false, true},
		{"kind", `kind: 99`, false, true}, // of a newer schema
		{"kind", `kind: -1`, false, true},
		{"kind", ``, false, true},
		{"kinds", `kinds: [KIND_CLERK, KIND_SPY]`, true, true},
		{"kinds", `kinds: [KIND_CLERK, 99]`, false, true},
		{"kinds", ``, false, true},
		{"by_name", `by_name { key: "a" value: KIND_CLERK } by_name { key: "b" value: KIND_SPY }`, true, true},
		{"by_name", `by_name { key: "a" value: KIND_CLERK } by_name { key: "b" value: 99 }`, false, true},
		{"by_name", ``, false, true},
		{"labels", `labels { key: "a" value: "b" }`, true, true},
		{"shape", `shape: SHAPE_ROUND`, false, false},
		{"chosen", `chosen: SHAPE_ROUND`, true, true},
	} {
		msg := dynamicpb.NewMessage(d)
		if err := prototext.Unmarshal([]byte(c.message), msg); err != nil {
			t.Fatalf("%s: %v", c.message, err)
		}
		fd := d.Fields().ByName(protoreflect.Name(c.field))
		if got := redact.IsSecret(fd, msg.Get(fd)); got != c.secret {
			t.Errorf("%s in {%s} is secret: %t", c.field, c.message, got)
		}
		if got := redact.CanBeSecret(fd); got != c.ofOther {
			t.Errorf("%s can be secret: %t", c.field, got)
		}
	}
}

// What is secret with some value is one that can be, whatever a stranger sends.
func FuzzWhatIsSecretCanBe(f *testing.F) {
	d := all(f)
	for _, seed := range []string{"", "\x38\x01", "\x42\x02\x02\x01", "\x4a\x05\x0a\x01a\x10\x01", "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		msg := dynamicpb.NewMessage(d)
		if proto.Unmarshal(text, msg) != nil {
			return
		}
		for i := range d.Fields().Len() {
			if fd := d.Fields().Get(i); redact.IsSecret(fd, msg.Get(fd)) && !redact.CanBeSecret(fd) {
				t.Errorf("%s of %x", fd.Name(), text)
			}
		}
	})
}
