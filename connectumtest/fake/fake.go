// Package fake fills protobuf messages with values that are valid under
// their protovalidate rules, mean something, and come out the same for the
// same seed.
//
//	func TestCreateUser(t *testing.T) {
//		req := new(userv1.CreateUserRequest)
//		if err := fake.Named(t.Name()).Fill(req); err != nil {
//			t.Fatal(err)
//		}
//		// req.Email is "maya.bosco@example.com", req.Age is 34, ...
//	}
//
// Values follow the names of fields (email, city, price, created_at) as far
// as the rules leave room. Every kind of field is filled: scalars, enums,
// nested messages, lists, maps, exactly one member of each oneof, the
// well-known types, proto2 with its required fields and groups, and editions.
// Extensions are left out. The filled message is validated as a whole; when
// no valid one is found, [Faker.Fill] says which rules stood in the way, with
// an [*Error].
//
// Rules written in CEL are met by search: a proposal that breaks one is
// changed where the expression points and validated again, for a bounded
// number of times. Arithmetic, comparisons of fields, sizes, patterns,
// formats and the macros over lists are understood; an expression that hides
// its meaning (a hash, a checksum) is not, and ends in an *Error.
package fake

import (
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Faker makes fakes. Each call makes the next one of a sequence that the seed
// decides: the same seed, options, calls and version of this module give the
// same messages, and byte for byte the same under deterministic encoding, on
// every platform. The one exception are timestamps that a rule ties to the
// present (timestamp.within, CEL with now): those move with the clock, which
// testing/synctest can hold still.
//
// A Faker is safe for concurrent use; which caller then gets which message of
// the sequence is open.
type Faker struct {
	config
	seed    uint64
	calls   atomic.Uint64
	check   checker
	err     error    // of New, told by Fill
	heights sync.Map // protoreflect.MessageDescriptor to int; see height.go
	parsed  sync.Map // string, CEL, to ast.Expr
}

// New returns a Faker whose sequence is decided by seed; 0 is a seed like any
// other.
func New(seed uint64, opts ...Option) *Faker {
	f := &Faker{config: defaults(), seed: seed}
	for _, o := range opts {
		o.apply(&f.config)
	}
	f.check, f.err = newChecker(f.types)
	if f.types == nil {
		f.types = protoregistry.GlobalTypes
	}
	return f
}

// Named returns a Faker seeded by a name, such as t.Name().
func Named(name string, opts ...Option) *Faker {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return New(h.Sum64(), opts...)
}

// Fill replaces the content of msg by a valid fake; see [WithKept] for
// filling up what is there. It returns an [*Error] when it finds no valid
// message, an error that names the fields when required fields recurse
// without end, a *protovalidate.RuntimeError when a CEL expression fails on
// every proposal, and a *protovalidate.CompilationError when the rules do not
// compile; msg is then unchanged. Fields below ignore = IGNORE_ALWAYS are
// filled without regard to rules.
func (f *Faker) Fill(msg proto.Message) error {
	target := msg.ProtoReflect()
	if !target.IsValid() {
		return fmt.Errorf("fill %s: the message is nil", target.Descriptor().FullName())
	}
	base := target.New()
	if f.keep {
		proto.Merge(base.Interface(), msg)
	}
	made, err := f.next(base, f.calls.Add(1))
	if err != nil {
		return fmt.Errorf("fill %s: %w", target.Descriptor().FullName(), err)
	}
	proto.Reset(msg)
	proto.Merge(msg, made.Interface())
	return nil
}

// Message makes a valid fake of a message type that is known by descriptor
// only. The result has the generated Go type where [WithTypes] knows it for
// this very descriptor, and is a *dynamicpb.Message otherwise. It returns the
// errors of Fill.
func (f *Faker) Message(desc protoreflect.MessageDescriptor) (proto.Message, error) {
	msg := f.newMessage(desc)
	if err := f.Fill(msg); err != nil {
		return nil, err
	}
	return msg, nil
}

func (f *Faker) newMessage(desc protoreflect.MessageDescriptor) proto.Message {
	if t, err := f.types.FindMessageByName(desc.FullName()); err == nil && t.Descriptor() == desc {
		return t.New().Interface()
	}
	return dynamicpb.NewMessage(desc)
}
