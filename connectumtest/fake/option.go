package fake

import (
	"math/rand/v2"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Option changes what a Faker makes. Where two options contradict each
// other, the later one counts.
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

// config holds what the options set; the zero value is never used, see
// defaults.
type config struct {
	depth    int
	items    [2]int
	presence float64
	keep     bool
	own      map[string]Value
	types    *protoregistry.Types
}

func defaults() config {
	return config{depth: 4, items: [2]int{1, 3}, presence: 1}
}

// WithDepth sets how deep optional messages nest: at this depth message
// fields are left out, unless a rule or proto2 requires them. The filled
// message itself is at depth 0; 0 leaves out every optional message. The
// default is 4.
func WithDepth(n int) Option {
	return option(func(c *config) { c.depth = max(n, 0) })
}

// WithItems sets how many elements lists and maps get where no rule decides:
// from least to most, both included. The default is 1 to 3.
func WithItems(least, most int) Option {
	return option(func(c *config) { c.items = [2]int{max(least, 0), max(least, most)} })
}

// WithPresence sets the probability, 0 to 1, that a field which may be left
// out is filled: optional scalars, messages, lists, maps and oneofs that no
// rule requires. The default is 1.
func WithPresence(p float64) Option {
	return option(func(c *config) { c.presence = p })
}

// WithKept keeps what is set in the message given to Fill, nested messages,
// list elements and map entries included, and fills the rest around it.
// Values that are kept are never changed: when they break a rule, Fill
// returns an *Error. By default Fill replaces everything.
func WithKept() Option {
	return option(func(c *config) { c.keep = true })
}

// Value makes the value of one field: a bool, string, []byte, any integer or
// float type that fits the field, or a proto.Message of the field's type. For
// lists it is called for every element and for maps for every map value. r is
// seeded; a Value that draws from it alone is reproducible.
type Value func(r *rand.Rand, field protoreflect.FieldDescriptor) any

// WithValue makes the values of the named fields with f. The name is that of
// a field ("email"), the full name of a field ("acme.v1.User.email") or the
// full name of a message or enum type ("google.type.Money"); the most
// specific one counts, in this order: full field name, type, field name.
// A value that breaks a rule, or does not fit the field, is passed over for
// one of the package's own.
func WithValue(name string, f Value) Option {
	return option(func(c *config) {
		if c.own == nil {
			c.own = make(map[string]Value)
		}
		c.own[name] = f
	})
}

// WithTypes resolves types that descriptors alone do not give: the content of
// google.protobuf.Any, the Go types behind Message, and the extensions of
// predefined rules. The default is protoregistry.GlobalTypes.
func WithTypes(types *protoregistry.Types) Option {
	return option(func(c *config) { c.types = types })
}
