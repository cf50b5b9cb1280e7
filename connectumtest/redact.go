package connectumtest

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	secrets "github.com/connectum-go/connectum/internal/redact"
)

// redact clears what is marked with debug_redact in msg, at any depth and in
// Any as well, and returns the paths of what it cleared.
func redact(msg proto.Message) []string { return clearFields(msg, secrets.IsSecret) }

// clearFields clears the fields that which chooses.
func clearFields(msg proto.Message, which func(protoreflect.FieldDescriptor, protoreflect.Value) bool) []string {
	c := clearing{which: which}
	c.message("", msg.ProtoReflect())
	return c.paths
}

type clearing struct {
	which func(protoreflect.FieldDescriptor, protoreflect.Value) bool
	paths []string
}

func (c *clearing) message(path string, m protoreflect.Message) {
	if m.Descriptor().FullName() == "google.protobuf.Any" { // generated or dynamic
		c.box(path, m)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := path + fd.TextName()
		switch {
		case c.which(fd, v):
			m.Clear(fd)
			c.paths = append(c.paths, at)
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
					c.message(fmt.Sprintf("%s[%v].", at, k), v.Message())
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				c.message(fmt.Sprintf("%s[%d].", at, i), v.List().Get(i).Message())
			}
		default:
			c.message(at+".", v.Message())
		}
		return true
	})
}

// box looks into an Any. What is in one of an unknown type can't be judged and
// goes.
func (c *clearing) box(path string, m protoreflect.Message) {
	url, value := m.Descriptor().Fields().ByName("type_url"), m.Descriptor().Fields().ByName("value")
	box := &anypb.Any{TypeUrl: m.Get(url).String(), Value: m.Get(value).Bytes()}
	inside, err := box.UnmarshalNew()
	if err != nil {
		if len(box.GetValue()) > 0 {
			m.Clear(url) // or the rest could not be written as JSON
			m.Clear(value)
			c.paths = append(c.paths, path+"value")
		}
		return
	}
	before := len(c.paths)
	c.message(path, inside.ProtoReflect())
	if len(c.paths) == before {
		return
	}
	m.Clear(value)
	if left, err := (proto.MarshalOptions{AllowPartial: true, Deterministic: true}).Marshal(inside); err == nil {
		m.Set(value, protoreflect.ValueOfBytes(left))
	}
}
