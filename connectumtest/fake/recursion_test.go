package fake_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/connectumtest/fake"
	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

func TestRecursionStopsAtTheDepth(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{0, 1, 4, 7} {
		for _, msg := range []proto.Message{
			new(faketestv1.Tree), new(faketestv1.Chain), new(faketestv1.Wide), new(faketestv1.Ping),
		} {
			if err := fake.New(1, fake.WithDepth(depth)).Fill(msg); err != nil {
				t.Fatal(err)
			}
			if got := deep(msg.ProtoReflect()); got > depth || got < depth && depth <= 4 {
				t.Errorf("%T with depth %d nests %d levels", msg, depth, got)
			}
			// Wide would have 5 to the 7th power and more without its budget.
			if size := proto.Size(msg); size > 100_000 {
				t.Errorf("%T with depth %d has %d bytes", msg, depth, size)
			}
		}
	}
}

func TestRequiredMessagesGoBelowTheDepth(t *testing.T) {
	t.Parallel()
	msg := new(faketestv1.Deep)
	if err := fake.New(1, fake.WithDepth(0)).Fill(msg); err != nil {
		t.Fatal(err)
	}
	if got := deep(msg.ProtoReflect()); got != 5 {
		t.Errorf("nests %d levels instead of the required 5", got)
	}
}

func TestRequiredRecursionWithoutEndNamesItsFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		msg  proto.Message
		path string
	}{
		{new(faketestv1.Endless), "self"},
		{new(faketestv1.EndlessPair), "half.pairs"},
		{new(faketestv1.RequiredSelf), "self"},
	} {
		err := fake.New(1).Fill(c.msg)
		if err == nil || !strings.Contains(err.Error(), " "+c.path+" ") {
			t.Errorf("%T: got %v", c.msg, err)
		}
	}
}

// deep counts the levels of messages below msg.
func deep(msg protoreflect.Message) int {
	most := 0
	msg.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap() && field.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				most = max(most, deep(v.Message())+1)
				return true
			})
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				most = max(most, deep(v.List().Get(i).Message())+1)
			}
		case !field.IsMap() && !field.IsList() && field.Message() != nil:
			most = max(most, deep(v.Message())+1)
		}
		return true
	})
	return most
}
