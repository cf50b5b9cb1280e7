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
	if types == nil {
		return checker{protovalidate.GlobalValidator, globalCEL}, nil
	}
	resolve := protovalidate.WithExtensionTypeResolver(types)
	own, err := protovalidate.New(resolve)
	return checker{own, sync.OnceValues(func() (protovalidate.Validator, error) {
		return protovalidate.New(resolve, protovalidate.WithDisableNativeRules())
	})}, err
}

var globalCEL = sync.OnceValues(func() (protovalidate.Validator, error) {
	return protovalidate.New(protovalidate.WithDisableNativeRules())
})

func (c checker) Validate(msg proto.Message, opts ...protovalidate.ValidationOption) error {
	panicked, err := c.try(msg, opts)
	if !panicked {
		return err
	}
	cel, err := c.cel()
	if err != nil {
		return err
	}
	return cel.Validate(msg, opts...)
}

func (c checker) try(msg proto.Message, opts []protovalidate.ValidationOption) (panicked bool, err error) {
	defer func() { panicked = recover() != nil }()
	return false, c.Validator.Validate(msg, opts...)
}
