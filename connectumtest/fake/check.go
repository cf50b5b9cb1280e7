package fake

import (
	"sync"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// checker is the validator with a way around its panics: in v1.4.0 the rules
// written in Go take the elements of a repeated wrapper, such as
//
//	repeated google.protobuf.Int32Value counts = 1 [(buf.validate.field).repeated.items.int32.gt = 0];
//
// for scalars and panic (builder.go, tryNativeRules: an element's evaluator
// has no descriptor to tell it is wrapped). The same rules in CEL are right.
type checker struct {
	protovalidate.Validator
	cel func() (protovalidate.Validator, error)
}

// newChecker validates by the process's validator, or by one of its own where
// extensions are resolved by the caller's types.
func newChecker(types *protoregistry.Types) (checker, error) {
	c := checker{Validator: protovalidate.GlobalValidator}
	var opts []protovalidate.ValidatorOption
	if types != nil {
		opts = append(opts, protovalidate.WithExtensionTypeResolver(types))
		own, err := protovalidate.New(opts...)
		if err != nil {
			return c, err
		}
		c.Validator = own
	}
	c.cel = sync.OnceValues(func() (protovalidate.Validator, error) {
		return protovalidate.New(append(opts, protovalidate.WithDisableNativeRules())...)
	})
	return c, nil
}

func (c checker) Validate(msg proto.Message, opts ...protovalidate.ValidationOption) error {
	err, panicked := c.try(msg, opts)
	if !panicked {
		return err
	}
	cel, err := c.cel()
	if err != nil {
		return err
	}
	return cel.Validate(msg, opts...)
}

func (c checker) try(msg proto.Message, opts []protovalidate.ValidationOption) (err error, panicked bool) {
	defer func() { panicked = recover() != nil }()
	return c.Validator.Validate(msg, opts...), false
}
