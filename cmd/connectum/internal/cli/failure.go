package cli

import (
	"encoding/json"
	"errors"
	"slices"

	"connectrpc.com/connect/v2"
	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// silent is an error that has been shown already.
type silent struct{ error }

func (s *silent) Unwrap() error { return s.error }

// failed is an error as --json tells it.
type failed struct {
	Exit     int              `json:"exit"`
	Code     string           `json:"code,omitempty"` // of the server
	Message  string           `json:"message"`
	Details  []invoke.Detail  `json:"details,omitempty"`
	Problems compile.Problems `json:"problems,omitempty"`
}

// showAsJSON writes err on one line of Err, and returns it as shown.
func showAsJSON(io *term.IO, err error) error {
	out := failed{Exit: exit.Code(err), Message: err.Error()}
	out.Problems, _ = compile.IsProblems(err)
	if failure, ok := errors.AsType[*invoke.Failure](err); ok {
		out.Code, out.Message, out.Details = failure.Code, failure.Message, failure.Details
	} else if verdict, ok := errors.AsType[*connect.Error](err); ok && verdict.IsRemote() {
		out.Code = verdict.Code().String()
	}
	line, marshalErr := json.Marshal(map[string]failed{"error": out})
	if marshalErr != nil {
		return errors.Join(err, marshalErr)
	}
	io.Errorf("%s", line)
	return &silent{err}
}

// wantsJSON tells whether the command line asks for JSON, also one with a
// mistake, whose flags are not all read.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	if flag := cmd.Flags().Lookup("json"); flag != nil && flag.Changed {
		return flag.Value.String() == "true"
	}
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json")
}
