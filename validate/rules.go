package validate

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ruleSet compiles rules and keeps them, for all procedures that share a
// configuration. It is safe for concurrent use.
type ruleSet struct {
	options []protovalidate.ValidatorOption

	mu        sync.Mutex              // guards what follows
	validator protovalidate.Validator // nil while the process's does
	cel       protovalidate.Validator // without the rules written in Go
	known     map[protoreflect.MessageDescriptor]prepared
}

type prepared struct {
	rules *rules
	err   error
}

// rules are those of one type of message, compiled.
type rules struct {
	set       *ruleSet
	desc      protoreflect.MessageDescriptor // nil: told by each message
	validator protovalidate.Validator
	shape     *shape
}

func newRuleSet(cfg Config) *ruleSet {
	return &ruleSet{options: slices.Clone(cfg.Options), known: map[protoreflect.MessageDescriptor]prepared{}}
}

// unknown returns the rules of messages whose type is known when they arrive.
func (r *ruleSet) unknown() *rules { return &rules{set: r} }

// of returns the rules of messages of one type, or nil when there are none at
// any depth.
func (r *ruleSet) of(desc protoreflect.MessageDescriptor) (*rules, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.known[desc]
	if !ok {
		p.rules, p.err = r.prepare(desc)
		r.known[desc] = p
	}
	return p.rules, p.err
}

func (r *ruleSet) prepare(desc protoreflect.MessageDescriptor) (*rules, error) {
	sh, err := shapeOf(desc)
	if err != nil || !sh.hasRules {
		return nil, err
	}
	validator, err := r.validatorOf(desc)
	if err != nil {
		return nil, err
	}
	panicked, err := probe(validator, sh)
	if !panicked {
		if err != nil {
			return nil, err
		}
		return &rules{r, desc, validator, sh}, nil
	}
	// protovalidate v1.4.0 takes the elements of
	//
	//	repeated google.protobuf.Int32Value counts = 1 [(buf.validate.field).repeated.items.int32.gt = 0];
	//
	// for scalars, and panics. The same rules in CEL are right.
	if r.cel == nil {
		if r.cel, err = protovalidate.New(append(slices.Clone(r.options), protovalidate.WithDisableNativeRules())...); err != nil {
			return nil, err
		}
	}
	if panicked, err = probe(r.cel, sh); err != nil {
		return nil, err
	}
	if panicked {
		return nil, fmt.Errorf("validate %s: its rules panic", desc.FullName())
	}
	return &rules{r, desc, r.cel, sh}, nil
}

// validatorOf returns what validates messages of a type. One validator reads
// every proto file that is linked and keeps a megabyte of what it read, so all
// chains of a process that ask for nothing else share protovalidate's. It keeps
// what it has compiled: types that are not linked, which come and go, stay out.
func (r *ruleSet) validatorOf(desc protoreflect.MessageDescriptor) (protovalidate.Validator, error) {
	if len(r.options) == 0 && linked(desc) {
		// The message has no rules: the one error is that there is no validator.
		return protovalidate.GlobalValidator, protovalidate.GlobalValidator.Validate(new(emptypb.Empty))
	}
	if r.validator == nil {
		var err error
		if r.validator, err = protovalidate.New(r.options...); err != nil {
			return nil, err
		}
	}
	return r.validator, nil
}

// linked reports whether a type is of the program, rather than of a schema that
// it has read.
func linked(desc protoreflect.MessageDescriptor) bool {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(desc.FullName())
	return err == nil && found == desc
}

// probe validates a message of each type of sh, which compiles the rules, and
// reports whether one panics and which does not compile.
func probe(v protovalidate.Validator, sh *shape) (panicked bool, err error) {
	var faults []error
	for _, desc := range sh.types {
		// Rules of fields are looked at where the field is set, those of
		// elements where there are some.
		for _, msg := range []proto.Message{dynamicpb.NewMessage(desc), filled(desc)} {
			threw, err := try(v, msg)
			if threw != nil {
				return true, nil
			}
			if broken, ok := errors.AsType[*protovalidate.CompilationError](err); ok {
				faults = append(faults, fmt.Errorf("the rules of %s do not compile: %w", desc.FullName(), broken))
				break
			}
		}
	}
	return false, errors.Join(faults...)
}

// filled returns a message in which everything is there, and nothing in that.
func filled(desc protoreflect.MessageDescriptor) proto.Message {
	msg := dynamicpb.NewMessage(desc)
	for i := range desc.Fields().Len() {
		fd := desc.Fields().Get(i)
		switch {
		case fd.IsMap():
			m := msg.Mutable(fd).Map()
			m.Set(fd.MapKey().Default().MapKey(), m.NewValue())
		case fd.IsList():
			l := msg.Mutable(fd).List()
			l.Append(l.NewElement())
		case fd.Message() != nil:
			msg.Mutable(fd)
		}
	}
	return msg
}

// try validates msg and catches what is thrown.
func try(v protovalidate.Validator, msg proto.Message, opts ...protovalidate.ValidationOption) (threw any, err error) {
	returned := false
	defer func() {
		if !returned {
			threw = recover()
		}
	}()
	err = v.Validate(msg, opts...)
	returned = true
	return nil, err
}
