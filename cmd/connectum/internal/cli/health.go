package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/probe"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// probeTimeout bounds a probe: those of orchestrators are shorter still.
const probeTimeout = 5 * time.Second

type healthFlags struct {
	serverFlags
	service string
	path    string
	watch   bool
	http    bool
}

func healthCommand(io *term.IO) *cobra.Command {
	var f healthFlags
	cmd := &cobra.Command{
		Use:   "health ADDRESS",
		Short: "Ask a server whether it is serving, once or for as long as you watch",
		Long: `Ask a server whether it is serving, by grpc.health.v1; with --http by plain HTTP
where that is not offered. --watch writes each change until it is interrupted or
--timeout has passed, also across restarts of the server.

Exit codes: 0 serving, 7 not serving, 5 not reached or no answer in time, 6 the server
offers no health. With --watch they tell of the last status.`,
		Example: `  connectum health localhost:5000
  connectum health localhost:5000 --watch --service greeter.v1.GreeterService
  connectum health https://api.example.com --http --timeout 2s

  # in a Dockerfile
  HEALTHCHECK CMD ["/connectum", "health", "localhost:5000"]`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.finish(io, f.run(cmd.Context(), io, args[0]))
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.watch, "watch", "w", false, "go on, and write each change")
	flags.StringVar(&f.service, "service", "", "full `name` of the service to ask for (default the whole server)")
	flags.BoolVar(&f.http, "http", false, "ask by plain HTTP where the server has no grpc.health.v1 or no HTTP/2")
	flags.StringVar(&f.path, "http-path", "/readyz", "`path` that --http asks")
	f.serverFlags.addTo(cmd, "default 5s, none with --watch")
	return cmd
}

// healthInfo is a status as --json tells it.
type healthInfo struct {
	Time    time.Time    `json:"time"`
	Service string       `json:"service"`
	Status  probe.Status `json:"status"`
}

func (f *healthFlags) run(ctx context.Context, io *term.IO, address string) error {
	t, err := f.target(address)
	if err != nil {
		return err
	}
	p := &probe.Prober{Target: t, Service: f.service, HTTP: f.http, Path: f.path}
	if f.watch {
		ctx, cancel := f.bound(ctx, 0)
		defer cancel()
		last, err := p.Watch(ctx, func(s probe.Status) { err = errors.Join(err, f.tell(io, s, true)) })
		if err != nil {
			return err
		}
		if last == "" {
			last = probe.Unreachable
		}
		return f.verdict(last)
	}
	ctx, cancel := f.bound(ctx, probeTimeout)
	defer cancel()
	done := waiting(io, "asking %s", t)
	s, err := p.Check(ctx)
	done()
	if err != nil {
		return err
	}
	if err := f.tell(io, s, false); err != nil {
		return err
	}
	return f.verdict(s)
}

// verdict is the exit code of a status that has been told.
func (f *healthFlags) verdict(s probe.Status) error {
	if err := s.Err(); err != nil {
		return &silent{exit.With(exit.Code(err), err)}
	}
	return nil
}

func (f *healthFlags) tell(io *term.IO, s probe.Status, dated bool) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if f.json {
		return writeJSON(io, healthInfo{now, f.service, s})
	}
	style := term.Red
	if s == probe.Serving {
		style = term.Green
	}
	if dated {
		io.Printf("%s %s", io.OnOut(term.Dim, now.Format(time.RFC3339)), io.OnOut(style, string(s)))
		return nil
	}
	io.Printf("%s", io.OnOut(style, string(s)))
	return nil
}
