package fake_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum/connectumtest/fake"
	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

func TestKeptFieldsStayAndTheRestIsFilled(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		msg := &faketestv1.Invoice{
			Total: 100,
			Lines: []*faketestv1.Invoice_Line{{Quantity: 5}, {}},
		}
		if err := fake.New(seed, fake.WithKept()).Fill(msg); err != nil {
			t.Fatal(err)
		}
		if msg.GetTotal() != 100 || msg.GetNet()+msg.GetTax() != 100 {
			t.Fatalf("total %d of %d and %d", msg.GetTotal(), msg.GetNet(), msg.GetTax())
		}
		if len(msg.GetLines()) != 2 || msg.GetCount() != 2 || msg.GetLines()[0].GetQuantity() != 5 || msg.GetLines()[0].GetStock() < 5 {
			t.Fatalf("lines were kept otherwise: %v", msg)
		}
	}
}

func TestKeptMembersDecideTheirOneof(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		msg := &faketestv1.Oneofs{Plain: &faketestv1.Oneofs_Address{Address: &faketestv1.Address{City: "Oslo"}}}
		if err := fake.New(seed, fake.WithKept()).Fill(msg); err != nil {
			t.Fatal(err)
		}
		if a := msg.GetAddress(); a.GetCity() != "Oslo" || a.GetStreet() == "" {
			t.Fatalf("got %v", msg)
		}
		other := &faketestv1.MessageOneofs{B: 7}
		if err := fake.New(seed, fake.WithKept()).Fill(other); err != nil {
			t.Fatal(err)
		}
		if other.GetB() != 7 || other.GetA() != "" {
			t.Fatalf("got %v", other)
		}
	}
}

func TestKeptValuesThatBreakARuleAreAnError(t *testing.T) {
	t.Parallel()
	msg := &faketestv1.User{Email: "nobody"}
	if err := fake.New(1, fake.WithKept()).Fill(msg); err == nil || !strings.Contains(err.Error(), "email: ") {
		t.Errorf("got %v", err)
	}
	if msg.GetEmail() != "nobody" || msg.GetId() != "" {
		t.Errorf("changed to %v", msg)
	}
}

func TestWithoutKeptEverythingIsReplaced(t *testing.T) {
	t.Parallel()
	msg := &faketestv1.User{Description: "before"}
	if err := fake.New(1).Fill(msg); err != nil {
		t.Fatal(err)
	}
	if msg.GetDescription() == "before" {
		t.Error("the old value is still there")
	}
}

func TestPresenceLeavesFieldsOut(t *testing.T) {
	t.Parallel()
	msg := new(faketestv1.Plain)
	if err := fake.New(1, fake.WithPresence(0)).Fill(msg); err != nil {
		t.Fatal(err)
	}
	if msg.Message != nil || msg.Strings != nil || msg.Addresses != nil || msg.Maybe != nil || msg.GetString_() == "" {
		t.Errorf("got %v", msg)
	}
}

func TestOwnValuesAreUsed(t *testing.T) {
	t.Parallel()
	city := func(*rand.Rand, protoreflect.FieldDescriptor) any { return "Reykjavík" }
	opts := []fake.Option{
		fake.WithValue("city", city),
		fake.WithValue("connectum.fake.test.v1.User.age", func(r *rand.Rand, _ protoreflect.FieldDescriptor) any { return 60 + r.IntN(2) }),
		fake.WithValue("age", func(*rand.Rand, protoreflect.FieldDescriptor) any { return 20 }),
		fake.WithValue("email", func(*rand.Rand, protoreflect.FieldDescriptor) any { return "no address" }),
		fake.WithValue("phone", func(*rand.Rand, protoreflect.FieldDescriptor) any { return 5 }),
		fake.WithValue("tags", func(r *rand.Rand, _ protoreflect.FieldDescriptor) any { return "t" + string(rune('a'+r.IntN(26))) }),
		fake.WithValue("google.protobuf.Timestamp", func(*rand.Rand, protoreflect.FieldDescriptor) any {
			return &timestamppb.Timestamp{Seconds: 42}
		}),
	}
	user := new(faketestv1.User)
	if err := fake.New(1, opts...).Fill(user); err != nil {
		t.Fatal(err)
	}
	if user.GetAddress().GetCity() != "Reykjavík" || user.GetAge() < 60 || user.GetTags()[0][0] != 't' {
		t.Errorf("got %v", user)
	}
	if !strings.Contains(user.GetEmail(), "@") || !strings.HasPrefix(user.GetPhone(), "+") {
		t.Errorf("a value that does not suit was used: %v", user)
	}
	for _, msg := range []proto.Message{
		new(faketestv1.WellKnownTypes),
		dynamicpb.NewMessage(new(faketestv1.WellKnownTypes).ProtoReflect().Descriptor()),
	} {
		if err := fake.New(1, opts...).Fill(msg); err != nil {
			t.Fatal(err)
		}
		at := msg.ProtoReflect().Get(msg.ProtoReflect().Descriptor().Fields().ByName("created_at")).Message()
		if got := at.Get(at.Descriptor().Fields().ByName("seconds")).Int(); got != 42 {
			t.Errorf("%T: created at %d", msg, got)
		}
	}
}

func TestMessageGivesTheGeneratedTypeWhereItIsKnown(t *testing.T) {
	t.Parallel()
	desc := new(faketestv1.User).ProtoReflect().Descriptor()
	msg, err := fake.New(1).Message(desc)
	if err != nil {
		t.Fatal(err)
	}
	want := new(faketestv1.User)
	if err := fake.New(1).Fill(want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, msg, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	// The same schema read from a file of its own is another type.
	file, err := protodesc.NewFile(protodesc.ToFileDescriptorProto(desc.ParentFile()), protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	msg, err = fake.New(1).Message(file.Messages().ByName("User"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := msg.(*dynamicpb.Message); !ok {
		t.Errorf("got a %T", msg)
	}
}

func TestPredefinedRulesAreResolvedByTheGivenTypes(t *testing.T) {
	t.Parallel()
	types := new(protoregistry.Types)
	file := faketestv1.File_connectum_fake_test_v1_legacy_proto
	for i := range file.Extensions().Len() {
		if err := types.RegisterExtension(dynamicpb.NewExtensionType(file.Extensions().Get(i))); err != nil {
			t.Fatal(err)
		}
	}
	msg, err := fake.New(1, fake.WithTypes(types)).Message(new(faketestv1.Predefined).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	if err := verdict(t, msg); err != nil {
		t.Error(err)
	}
}

func TestWellKnownTypesAreFilledOnTheirOwn(t *testing.T) {
	t.Parallel()
	for _, msg := range []proto.Message{
		new(timestamppb.Timestamp), new(durationpb.Duration), new(anypb.Any), new(structpb.Struct),
		new(structpb.Value), new(structpb.ListValue), new(fieldmaskpb.FieldMask), new(wrapperspb.StringValue),
	} {
		if err := fake.New(3).Fill(msg); err != nil {
			t.Errorf("%T: %v", msg, err)
		}
		if proto.Size(msg) == 0 {
			t.Errorf("%T is empty", msg)
		}
		checkWire(t, msg)
	}
}

func TestAFakerMakesASequence(t *testing.T) {
	t.Parallel()
	a, b := fake.Named("a test"), fake.Named("a test")
	seen := make(map[string]bool)
	for range 10 {
		x, y := new(faketestv1.User), new(faketestv1.User)
		if a.Fill(x) != nil || b.Fill(y) != nil || !proto.Equal(x, y) {
			t.Fatalf("%v and %v", x, y)
		}
		seen[x.GetId()] = true
	}
	if len(seen) != 10 {
		t.Errorf("10 messages have %d ids", len(seen))
	}
}

func TestAFakerServesManyAtOnce(t *testing.T) {
	t.Parallel()
	together, alone := fake.New(9), fake.New(9)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[string]bool)
	for range 8 {
		wg.Go(func() {
			for range 10 {
				msg := new(faketestv1.User)
				if err := together.Fill(msg); err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[msg.GetId()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for range 80 {
		msg := new(faketestv1.User)
		if err := alone.Fill(msg); err != nil {
			t.Fatal(err)
		}
		if !seen[msg.GetId()] {
			t.Fatalf("%s is missing", msg.GetId())
		}
	}
}
