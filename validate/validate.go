// Package validate holds messages to the rules of their schema, those of
// [protovalidate]: requests, and responses where asked, every message of a
// stream.
//
//	srv := connectum.New(connectum.Config{
//		Interceptors: []connectum.Interceptor{validate.New(validate.Config{})},
//	})
//
// A request that breaks a rule is answered invalid_argument before the handler
// sees it. The error names the field and the rule, and has the violations as
// google.rpc.BadRequest and as buf.validate.Violations. What is in a field with
// debug_redact is in neither.
//
// Rules are compiled when the server is set up, for all procedures, and rules
// that do not compile are a start error. A procedure whose messages have no
// rule, at any depth, is left alone and costs nothing.
//
// [protovalidate]: https://protovalidate.com
package validate

import (
	"buf.build/go/protovalidate"
	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
)

// Config configures validation. The zero value validates requests.
type Config struct {
	// Responses validates responses too. One that breaks a rule is a fault of
	// the server, so it is not sent: the client gets an internal error with
	// an id, the log has the violations. The default is requests alone.
	Responses bool

	// Options are handed to protovalidate, such as a resolver for the
	// extensions of dynamic schemas. The default is none: messages whose types
	// are linked are then validated by [protovalidate.GlobalValidator], which
	// all chains of the process share.
	Options []protovalidate.ValidatorOption
}

// String tells the settings on one line.
func (c Config) String() string {
	if c.Responses {
		return "requests and responses"
	}
	return "requests"
}

// New returns validation as a link of a server's chain. When a message of a
// stream was refused, none is received or sent any more, and the call ends with
// that refusal, whatever the handler makes of it.
func New(cfg Config) connectum.Interceptor {
	r := newRuleSet(cfg)
	return connectum.Interceptor{Name: "validate", Bind: func(spec connect.Spec) (connect.ServerInterceptor, error) {
		in, out, err := r.bind(spec, true, cfg.Responses)
		if err != nil || in == nil && out == nil {
			return nil, err
		}
		var checks connectum.MessageChecks
		if in != nil {
			checks.Received = func(msg any) error { return in.check(msg, request) }
		}
		if out != nil {
			checks.Sending = func(msg any) error { return out.check(msg, response) }
		}
		return checks.Interceptor(), nil
	}}
}

// bind returns the rules of a procedure's requests and responses, nil where
// there are none.
func (r *ruleSet) bind(spec connect.Spec, requests, responses bool) (in, out *rules, err error) {
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if requests {
		if in = r.unknown(); ok {
			if in, err = r.of(method.Input()); err != nil {
				return nil, nil, err
			}
		}
	}
	if responses {
		if out = r.unknown(); ok {
			if out, err = r.of(method.Output()); err != nil {
				return nil, nil, err
			}
		}
	}
	return in, out, nil
}
