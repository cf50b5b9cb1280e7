package fake_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

// never are the messages of the corpus that no value is valid for.
var never = []protoreflect.Name{"Broken", "Endless", "EndlessPair", "EndlessHalf", "RequiredSelf"}

// corpus gives every message type of the corpus that has valid values, nested
// ones included, by name.
func corpus(t *testing.T) []protoreflect.MessageType {
	t.Helper()
	var all []protoreflect.MessageType
	protoregistry.GlobalTypes.RangeMessages(func(m protoreflect.MessageType) bool {
		desc := m.Descriptor()
		if desc.ParentFile().Package() == "connectum.fake.test.v1" && !desc.IsMapEntry() && !slices.Contains(never, desc.Name()) {
			all = append(all, m)
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MessageType) int {
		return strings.Compare(string(a.Descriptor().FullName()), string(b.Descriptor().FullName()))
	})
	if len(all) < 60 {
		t.Fatalf("the corpus has %d messages; it should be linked as a whole", len(all))
	}
	return all
}

func short(m protoreflect.MessageType) string {
	return strings.TrimPrefix(string(m.Descriptor().FullName()), "connectum.fake.test.v1.")
}
