package interceptor

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/connectum-go/connectum/internal/redact"
)

// mask takes secrets out of messages for the log.
type mask struct{ names map[string]bool } // in lower case

func newMask(names []string) *mask {
	m := &mask{map[string]bool{}}
	for _, n := range names {
		m.names[strings.ToLower(n)] = true
	}
	return m
}

// maxMessage bounds a message in the log, in bytes as protobuf and as JSON.
const maxMessage = 16 << 10

// render returns msg as JSON without its secrets, and where those were. The
// message itself is not touched.
func (m *mask) render(msg any) (text json.RawMessage, hidden []string) {
	given, ok := msg.(proto.Message)
	if !ok {
		return quoted(fmt.Sprintf("not a protobuf message: %T", msg)), nil
	}
	if size := proto.Size(given); size > maxMessage {
		return quoted(fmt.Sprintf("%s of %d bytes", given.ProtoReflect().Descriptor().FullName(), size)), nil
	}
	c := cleaning{mask: m}
	copied := proto.Clone(given)
	c.message("", copied.ProtoReflect())
	out, err := protojson.MarshalOptions{AllowPartial: true}.Marshal(copied)
	if err != nil || len(out) > maxMessage {
		// The reason may hold values, so it stays untold.
		return quoted(fmt.Sprintf("%s that can't be shown", given.ProtoReflect().Descriptor().FullName())), c.hidden
	}
	return out, c.hidden
}

func quoted(text string) json.RawMessage {
	out, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return out
}

// cleaning is the cleaning of one message.
type cleaning struct {
	*mask
	hidden []string // at most maxHidden paths
}

const maxHidden = 32

func (c *cleaning) hide(path string) {
	if len(c.hidden) < maxHidden {
		c.hidden = append(c.hidden, clip(path, 256))
	}
}

func (c *cleaning) message(path string, m protoreflect.Message) {
	m.SetUnknown(nil) // can't be judged, and JSON has no place for it
	if m.Descriptor().FullName() == "google.protobuf.Any" {
		c.box(path, m)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := path + fd.TextName()
		switch {
		case c.named(fd) || redact.IsSecret(fd, v):
			m.Clear(fd)
			c.hide(at)
		case fd.IsMap():
			c.entries(at, fd, v.Map())
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

// entries cleans a map. Keys are names where there is no schema, as in
// google.protobuf.Struct.
func (c *cleaning) entries(at string, fd protoreflect.FieldDescriptor, entries protoreflect.Map) {
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		path := fmt.Sprintf("%s[%q]", at, k.String())
		switch {
		case c.names[strings.ToLower(k.String())]:
			entries.Clear(k)
			c.hide(path)
		case fd.MapValue().Message() != nil:
			c.message(path+".", v.Message())
		}
		return true
	})
}

// box looks into an Any. What is in one of an unknown type can't be judged and
// goes.
func (c *cleaning) box(path string, m protoreflect.Message) {
	url, value := m.Descriptor().Fields().ByName("type_url"), m.Descriptor().Fields().ByName("value")
	box := &anypb.Any{TypeUrl: m.Get(url).String(), Value: m.Get(value).Bytes()}
	inside, err := box.UnmarshalNew()
	if err == nil {
		c.message(path, inside.ProtoReflect())
		var left []byte
		if left, err = (proto.MarshalOptions{AllowPartial: true}).Marshal(inside); err == nil {
			m.Set(value, protoreflect.ValueOfBytes(left))
			return
		}
	}
	c.hide(path + "value")
	m.Clear(url) // or the rest could not be written as JSON
	m.Clear(value)
}

func (c *cleaning) named(fd protoreflect.FieldDescriptor) bool {
	return len(c.names) > 0 && (c.names[strings.ToLower(string(fd.Name()))] || c.names[strings.ToLower(fd.JSONName())] ||
		c.names[strings.ToLower(string(fd.FullName()))])
}
