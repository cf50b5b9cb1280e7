package connectum

import (
	"context"

	"connectrpc.com/connect/v2"
)

// End ends the call whose context ctx is, from outside its handler: that
// context is cancelled with why as its cause, what the handler waits for from
// its client fails, and why is what the client is told, whatever the handler
// makes of it. Only the first End of a call counts. It reports false when ctx
// belongs to no call. It is safe for concurrent use until the handler has
// returned.
func End(ctx context.Context, why *connect.Error) bool {
	c := callOf(ctx)
	if c == nil {
		return false
	}
	c.end(why)
	c.poke(true, false)
	return true
}
