package fake_test

import (
	"bytes"
	"sync"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/connectumtest/fake"
)

func TestEveryFakeOfTheCorpusIsValid(t *testing.T) {
	t.Parallel()
	for _, m := range corpus(t) {
		t.Run(short(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				msg := m.New().Interface()
				if err := fake.New(seed).Fill(msg); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if err := verdict(t, msg); err != nil {
					t.Fatalf("seed %d: %v\n%v", seed, err, msg)
				}
				checkWire(t, msg)
			}
		})
	}
}

// verdict is protovalidate's verdict; by CEL alone where v1.4.0 panics on
// wrappers in lists and maps.
func verdict(t *testing.T, msg proto.Message) error {
	t.Helper()
	if msg.ProtoReflect().Descriptor().Name() != "WrappedLists" {
		return protovalidate.Validate(msg)
	}
	v, err := byCEL()
	if err != nil {
		t.Fatal(err)
	}
	return v.Validate(msg)
}

var byCEL = sync.OnceValues(func() (protovalidate.Validator, error) {
	return protovalidate.New(protovalidate.WithDisableNativeRules())
})

// checkWire fails unless the message survives both encodings.
func checkWire(t *testing.T, msg proto.Message) {
	t.Helper()
	wire, err := proto.Marshal(msg)
	if err != nil {
		t.Fatalf("%v\n%v", err, msg)
	}
	back := msg.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(wire, back); err != nil || !proto.Equal(msg, back) {
		t.Fatalf("changed on the wire (%v):\n%v\n%v", err, msg, back)
	}
	if _, err := protojson.Marshal(msg); err != nil {
		t.Fatalf("no JSON: %v\n%v", err, msg)
	}
}

func TestFewFieldsAreAsValidAsAll(t *testing.T) {
	t.Parallel()
	for _, m := range corpus(t) {
		t.Run(short(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds / 10) {
				f := fake.New(seed, fake.WithPresence(0.3), fake.WithItems(0, 5), fake.WithDepth(2))
				msg := m.New().Interface()
				if err := f.Fill(msg); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if err := verdict(t, msg); err != nil {
					t.Fatalf("seed %d: %v\n%v", seed, err, msg)
				}
			}
		})
	}
}

// The control of the tests above: values drawn without a look at the rules
// are mostly invalid, so the corpus does demand something.
func TestRandomValuesAreMostlyInvalid(t *testing.T) {
	t.Parallel()
	valid, total := 0, 0
	for _, m := range corpus(t) {
		for seed := range uint64(10) {
			msg := m.New()
			scribble(seed, msg, 3)
			total++
			if verdict(t, msg.Interface()) == nil {
				valid++
			}
		}
	}
	if valid > total/2 {
		t.Errorf("%d of %d messages of random values are valid; the corpus asks for too little", valid, total)
	}
	t.Logf("%d of %d valid", valid, total)
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, m := range corpus(t) {
		if short(m) == "Present" || short(m) == "Window" {
			continue // their times follow the clock, as documented
		}
		t.Run(short(m), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds / 50) {
				a, b := encode(t, m.New().Interface(), seed), encode(t, m.New().Interface(), seed)
				if !bytes.Equal(a, b) {
					t.Fatalf("seed %d gives\n%x and\n%x", seed, a, b)
				}
				// A dynamic message draws the same.
				if c := encode(t, dynamicpb.NewMessage(m.Descriptor()), seed); !sameMessage(t, m.New().Interface(), a, c) {
					t.Fatalf("seed %d gives another dynamic message", seed)
				}
			}
		})
	}
}

func encode(t *testing.T, msg proto.Message, seed uint64) []byte {
	t.Helper()
	if err := fake.New(seed).Fill(msg); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func sameMessage(t *testing.T, like proto.Message, a, b []byte) bool {
	t.Helper()
	other := proto.Clone(like)
	if proto.Unmarshal(a, like) != nil || proto.Unmarshal(b, other) != nil {
		t.Fatal("not decodable")
	}
	return proto.Equal(like, other)
}
