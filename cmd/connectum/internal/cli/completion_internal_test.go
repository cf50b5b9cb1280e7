package cli

import "testing"

func TestShellsAreToldNamesAlone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a.B", "a.b.C/D", "B/C"} {
		if !isName(name) {
			t.Errorf("%q is left out", name)
		}
	}
	for _, name := range []string{"", "$(reboot)", "a.B/C/D", "a b", "a.B\nx", "a.B\tx", "-x", "a.B/`x`"} {
		if isName(name) {
			t.Errorf("%q goes to the shell", name)
		}
	}
}
