package interceptor

import (
	"fmt"
	"strings"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
)

// Explain tells the chain of procedure ("/pkg.Service/Method") on srv, which was
// made with this configuration: what is in it, in its order and with its
// settings, and what is not and why. It settles the server's configuration, as
// [connectum.Server.Check] does. The text is for people and may change.
func (c Config) Explain(srv *connectum.Server, procedure string) string {
	var kind string
	for spec := range srv.Procedures() {
		if spec.Procedure == procedure {
			kind = ", " + spec.StreamType.String()
		}
	}
	chain := srv.Chain(procedure)
	if chain == nil {
		if err := srv.Check(); err != nil {
			return fmt.Sprintf("%s: the server's configuration is wrong:\n%v\n", procedure, err)
		}
		return procedure + ": the server has no such procedure\n"
	}
	e := newExplanation(procedure + kind)
	known := map[string]string{"guard": "recovery, masking, deadline, limits"}
	for _, s := range c.slots() {
		known[s.name] = s.settings
	}
	in := map[string]bool{}
	for _, name := range chain {
		in[name] = true
		e.add("─► "+name, known[name])
	}
	e.add("─► handler", "")
	for _, s := range c.slots() {
		switch {
		case in[s.name]:
		case s.on:
			e.add("   "+s.name, "left out: nothing to do here")
		default:
			e.add("   "+s.name, "off")
		}
	}
	return e.String()
}

// Explain tells what a call of spec goes through, as the Explain of [Config]
// does for a server.
func (c ClientConfig) Explain(spec connect.Spec) string {
	e := newExplanation(spec.Procedure + ", " + spec.StreamType.String())
	unary := spec.StreamType == connect.StreamTypeUnary
	var out []func()
	for _, s := range c.slots() {
		why := ""
		switch {
		case !s.on:
			why = "off"
		case s.unary && !unary:
			why = "left out: for unary calls alone"
		case s.idle != nil:
			why = s.idle(spec)
		}
		if why != "" {
			out = append(out, func() { e.add("   "+s.name, why) })
			continue
		}
		e.add("─► "+s.name, s.settings)
	}
	e.add("─► transport", "")
	for _, add := range out {
		add()
	}
	return e.String()
}

// explanation is text in two columns.
type explanation struct{ strings.Builder }

func newExplanation(title string) *explanation {
	e := new(explanation)
	e.WriteString(title + "\n")
	return e
}

func (e *explanation) add(name, what string) {
	e.WriteString(strings.TrimRight(fmt.Sprintf("%-20s %s", name, what), " ") + "\n")
}
