package connectum

import (
	"context"

	"connectrpc.com/connect/v2"
)

// infoKeys are what Connect looks up in a context to find what it tells of a
// call, on both sides of it. They are learned, as Connect does not export them:
// the context of a call then has it without the two that Connect derives to hold
// it, each an allocation, and a step for whatever else is looked up.
type infoKeys struct{ server, client any } // both nil when they could not be learned

func (s *Server) learnInfoKeys() {
	asked := &askedContext{Context: context.Background()}
	_, _ = connect.CallInfoForServerContext(asked)
	s.infoKeys.server = asked.key
	_, _ = connect.CallInfoForClientContext(asked)
	s.infoKeys.client = asked.key
	// Connect may look for something else one day, or for more.
	c := &call{server: s, base: context.Background(), info: new(connect.CallInfo)}
	info, ok := connect.CallInfoForServerContext((*doorContext)(c))
	if _, leaks := connect.CallInfoForClientContext((*doorContext)(c)); !ok || info != c.info || leaks {
		s.infoKeys = infoKeys{}
	}
}

// askedContext notes the key that it was asked for last.
type askedContext struct {
	context.Context //nolint:containedctx // it is one
	key             any
}

func (c *askedContext) Value(key any) any {
	c.key = key
	return nil
}

// dispatch runs the procedure p of d, or what d has for procedures that the
// server does not know when p is nil, as [connect.Server.Call] does.
func (c *call) dispatch(d *dispatcher, p *procedure, info *connect.CallInfo, stream connect.ServerStream) error {
	if p == nil || c.server.infoKeys.server == nil {
		return d.connect.Call((*doorContext)(c), info.Spec.Procedure, info, stream)
	}
	c.info = info
	return p.guard((*doorContext)(c), p.spec, stream)
}
