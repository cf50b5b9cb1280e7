// Package exit gives errors the exit code that scripts tell them apart by.
package exit

import "errors"

// The exit codes of the command line, by class of failure.
const (
	OK          = 0
	Failed      = 1 // anything else; a check that found something
	Usage       = 2 // wrong flags or arguments
	Refused     = 3 // the input is well-formed and will not be acted on: a folder that is not empty
	Invalid     = 4 // files of the project that do not compile
	Unreachable = 5 // no connection, no certificate that holds, no answer in time
	RPC         = 6 // the server answered with an error
	Unhealthy   = 7 // the server answered that it is not serving
)

type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// With gives err an exit code. It returns nil for nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code, err}
}

// Code returns the exit code of err: OK for nil, Failed for one without.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	return Failed
}
