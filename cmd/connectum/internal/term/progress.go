package term

import (
	"fmt"
	"sync"
	"time"
)

// Progress tells what takes long: what is not over within a second is named,
// on a terminal by a line that counts the seconds and goes when it is over,
// elsewhere by one plain line. The caller must call done once, and writes
// nothing to Err before it has.
func (t *IO) Progress(format string, args ...any) (done func()) {
	what := fmt.Sprintf(format, args...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		begin, tick := time.Now(), time.NewTimer(time.Second)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-stop:
				if shown && t.ErrTerminal {
					t.put("\r\x1b[K")
				}
				return
			case <-tick.C:
				if !t.ErrTerminal {
					t.Errorf("%s ...", what)
					<-stop
					return
				}
				t.put("\r\x1b[K%s %s", t.OnErr(Dim, what), time.Since(begin).Round(time.Second))
				tick.Reset(time.Second)
			}
		}
	}()
	return sync.OnceFunc(func() { close(stop); <-stopped })
}
