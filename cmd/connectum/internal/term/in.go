package term

import "os"

// InTerminal reports whether somebody types what In reads.
func (t *IO) InTerminal() bool {
	f, ok := t.In.(*os.File)
	return ok && isTerminal(f)
}
