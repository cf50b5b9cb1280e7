package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/compile"
	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// serverFlags are those of every command that talks to a server.
type serverFlags struct {
	options target.Options
	timeout time.Duration
	json    bool
}

// addTo declares the flags; usual says what the default of --timeout is.
func (f *serverFlags) addTo(cmd *cobra.Command, usual string) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.options.Headers, "header", "H", nil, "`'Name: value'` to send with every call; may be repeated")
	flags.BoolVar(&f.options.TLS, "tls", false, "use TLS; https:// and the flags below do too")
	flags.StringVar(&f.options.CACert, "cacert", "", "PEM `file` of the authorities to trust (default those of the system)")
	flags.StringVar(&f.options.Cert, "cert", "", "PEM `file` of the certificate to show")
	flags.StringVar(&f.options.Key, "key", "", "PEM `file` of its private key")
	flags.StringVar(&f.options.ServerName, "server-name", "", "`name` that the server's certificate must have (default the host)")
	flags.BoolVar(&f.options.Insecure, "insecure", false, "trust any certificate")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this `time`, such as 5s ("+usual+")")
	flags.BoolVar(&f.json, "json", false, "write JSON for programs")
}

// target reads the address and the flags.
func (f *serverFlags) target(address string) (*target.Target, error) {
	if f.timeout < 0 {
		return nil, exit.With(exit.Usage, errors.New("--timeout is negative"))
	}
	t, err := target.New(address, f.options)
	return t, exit.With(exit.Usage, err)
}

// bound returns ctx with the deadline of --timeout, or of usual when that was not
// given; zero is none.
func (f *serverFlags) bound(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	if f.timeout > 0 {
		usual = f.timeout
	}
	if usual == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, usual)
}

// finish gives the error of a command to whoever asked: with --json one line of
// JSON on standard error.
func (f *serverFlags) finish(io *term.IO, err error) error {
	var shown *silent
	if err == nil || errors.As(err, &shown) {
		return err
	}
	if !f.json {
		if _, ok := compile.IsProblems(err); ok {
			return showProblems(io, err)
		}
		return exit.With(exit.Code(err), errors.New(term.Clean(err.Error())))
	}
	return showAsJSON(io, err)
}

// writeJSON writes v as a result, on one line.
func writeJSON(io *term.IO, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	io.Printf("%s", line)
	return nil
}

// httpVersion is the value of --http-version.
func httpVersion(text string) (target.Version, error) {
	switch text {
	case "":
		return target.Auto, nil
	case "1", "1.1":
		return target.HTTP1, nil
	case "2":
		return target.HTTP2, nil
	}
	return 0, exit.With(exit.Usage, fmt.Errorf("--http-version %s: one of 1 and 2", text))
}

// waiting is term.IO.Progress on a terminal alone, for commands whose results
// go through pipes.
func waiting(io *term.IO, format string, args ...any) (done func()) {
	if !io.ErrTerminal {
		return func() {}
	}
	return io.Progress(format, args...)
}
