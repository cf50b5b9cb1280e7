package fake

import (
	"fmt"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// endless is the height of a message whose required fields recurse without
// end: no finite message is valid.
const endless = 1 << 30

// height gives how many levels of messages a message needs below itself at
// the least: 0 when it requires none.
func (f *Faker) height(desc protoreflect.MessageDescriptor) int {
	if h, ok := f.heights.Load(desc); ok {
		return h.(int)
	}
	// Start from endless for all and lower until nothing changes: a message
	// that needs itself stays endless.
	var all []protoreflect.MessageDescriptor
	heights := make(map[protoreflect.MessageDescriptor]int)
	var collect func(protoreflect.MessageDescriptor)
	collect = func(d protoreflect.MessageDescriptor) {
		if _, ok := heights[d]; ok {
			return
		}
		heights[d] = endless
		all = append(all, d)
		for _, group := range needs(d) {
			for _, field := range group {
				if child := below(field); child != nil {
					collect(child)
				}
			}
		}
	}
	collect(desc)
	for changed := true; changed; {
		changed = false
		for _, d := range all {
			h := 0
			for _, group := range needs(d) {
				h = max(h, lowest(group, heights))
			}
			if h < heights[d] {
				heights[d] = h
				changed = true
			}
		}
	}
	for _, d := range all {
		f.heights.Store(d, heights[d])
	}
	return heights[desc]
}

// lowest gives the height of the lowest of alternative fields.
func lowest(group []protoreflect.FieldDescriptor, heights map[protoreflect.MessageDescriptor]int) int {
	h := endless
	for _, field := range group {
		child := below(field)
		if child == nil {
			return 0
		}
		if heights[child] < endless {
			h = min(h, heights[child]+1)
		}
	}
	return h
}

// needs gives what a valid message must have: groups of fields, one of each
// group at the least.
func needs(desc protoreflect.MessageDescriptor) [][]protoreflect.FieldDescriptor {
	var groups [][]protoreflect.FieldDescriptor
	for i := range desc.Fields().Len() {
		field := desc.Fields().Get(i)
		if required(field, fieldRules(field)) {
			groups = append(groups, []protoreflect.FieldDescriptor{field})
		}
	}
	for i := range desc.Oneofs().Len() {
		oneof := desc.Oneofs().Get(i)
		if rules, err := protovalidate.ResolveOneofRules(oneof); err == nil && rules.GetRequired() {
			var group []protoreflect.FieldDescriptor
			for j := range oneof.Fields().Len() {
				group = append(group, oneof.Fields().Get(j))
			}
			groups = append(groups, group)
		}
	}
	for _, rule := range messageRules(desc).GetOneof() {
		if rule.GetRequired() {
			groups = append(groups, named(desc, rule.GetFields()))
		}
	}
	return groups
}

// named finds fields by name and leaves out what does not exist.
func named(desc protoreflect.MessageDescriptor, names []string) []protoreflect.FieldDescriptor {
	var fields []protoreflect.FieldDescriptor
	for _, name := range names {
		if field := desc.Fields().ByName(protoreflect.Name(name)); field != nil {
			fields = append(fields, field)
		}
	}
	return fields
}

// below gives the message a field nests, nil for scalars and for well-known
// types, which are made like scalars.
func below(field protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if field.IsMap() {
		field = field.MapValue()
	}
	if field.Message() == nil || isLeaf(field.Message()) {
		return nil
	}
	return field.Message()
}

// required tells whether a message without the field is never valid.
func required(field protoreflect.FieldDescriptor, rules *validate.FieldRules) bool {
	if field.Cardinality() == protoreflect.Required {
		return true
	}
	if rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		return false
	}
	if rules.GetRequired() {
		return true
	}
	if rules.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE {
		return false
	}
	return field.IsList() && rules.GetRepeated().GetMinItems() > 0 ||
		field.IsMap() && rules.GetMap().GetMinPairs() > 0
}

// fieldRules gives the rules of a field; nil without any. Options that do not
// parse are reported by the validator.
func fieldRules(field protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, err := protovalidate.ResolveFieldRules(field)
	if err != nil {
		return nil
	}
	return rules
}

func messageRules(desc protoreflect.MessageDescriptor) *validate.MessageRules {
	rules, err := protovalidate.ResolveMessageRules(desc)
	if err != nil {
		return nil
	}
	return rules
}

// endlessError names the fields that require each other in a circle.
func (f *Faker) endlessError(desc protoreflect.MessageDescriptor) error {
	var path []string
	seen := make(map[protoreflect.MessageDescriptor]bool)
	for at := desc; !seen[at]; {
		seen[at] = true
		next := at
		for _, group := range needs(at) {
			heights := make(map[protoreflect.MessageDescriptor]int)
			for _, field := range group {
				if child := below(field); child != nil {
					heights[child] = f.height(child)
				}
			}
			if lowest(group, heights) >= endless {
				path = append(path, string(group[0].Name()))
				next = below(group[0])
				break
			}
		}
		at = next
	}
	return fmt.Errorf("the required fields %s recurse without end", strings.Join(path, "."))
}
