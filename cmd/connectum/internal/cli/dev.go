package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/dev"
	"github.com/connectum-go/connectum/cmd/connectum/internal/generate"
	"github.com/connectum-go/connectum/cmd/connectum/internal/project"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func devCommand(io *term.IO) *cobra.Command {
	pkg := "."
	return &cobra.Command{
		Use:   "dev [PACKAGE] [-- ARGUMENT...]",
		Short: "Generate, build and run the project, again after each change",
		Long: `Generate code, build the program and run it; when files change, do it again. The
running server drains, as it would in production, before the next one starts, so
that calls in flight end well. While something does not compile, it stays up.

Where the environment does not say otherwise, the program gets LISTEN=localhost,
LOG_FORMAT=text and STREAM_GRACE=1s. Ctrl-C drains and ends; a second one kills.`,
		Example: `  connectum dev
  PORT=8080 connectum dev ./cmd/server -- --verbose`,
		Args: func(cmd *cobra.Command, args []string) error {
			n := cmd.ArgsLenAtDash()
			if n < 0 {
				n = len(args)
			}
			return takes(0, 1)(cmd, args[:n])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := project.Open(io.Dir)
			if err != nil {
				return err
			}
			var rest []string
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, rest = args[:n], args[n:]
			}
			if len(args) > 0 {
				pkg = args[0]
			}
			ctx, kill, stop := signals(cmd.Context())
			defer stop()
			d := &dev.Dev{
				Project: p, Package: pkg, Args: rest, IO: io, Kill: kill,
				Generate: func(ctx context.Context) (int, error) { return devGenerate(ctx, io) },
				Problems: func(io *term.IO, err error) { _ = showProblems(io, err) },
			}
			return d.Run(ctx)
		},
	}
}

// devGenerate generates unless the project has no protos at all.
func devGenerate(ctx context.Context, io *term.IO) (int, error) {
	p, err := project.Open(io.Dir) // anew: go.mod and buf.gen.yaml may have changed
	if err != nil {
		return 0, err
	}
	if sources, err := p.Sources(); !p.Gen.FromFile && (err != nil || len(sources.Files) == 0) {
		return 0, nil
	}
	r, err := generate.Run(ctx, p, generate.Options{Show: show(io)})
	if err != nil {
		return 0, err
	}
	return len(r.Written) + len(r.Removed), nil
}

// signals ends the context at the first signal, a lost terminal included, and
// closes kill at the second.
func signals(ctx context.Context) (_ context.Context, kill <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	killed, done := make(chan struct{}), make(chan struct{})
	go twice(got, done, cancel, func() { close(killed) })
	return ctx, killed, func() {
		signal.Stop(got)
		close(done)
		cancel()
	}
}

// twice calls first at the first signal and second at the next, until done.
// Within 250 ms they are one, as for connectum.Main: timeout(1) signals a program
// and then its group.
func twice(got <-chan os.Signal, done <-chan struct{}, first, second func()) {
	var began time.Time
	select {
	case <-got:
		began = time.Now()
		first()
	case <-done:
		return
	}
	for {
		select {
		case <-got:
			if time.Since(began) >= 250*time.Millisecond {
				second()
				return
			}
		case <-done:
			return
		}
	}
}
