package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

type describeFlags struct {
	serverFlags
	protoFlags
}

func describeCommand(io *term.IO) *cobra.Command {
	var f describeFlags
	cmd := &cobra.Command{
		Use:   "describe [ADDRESS] SYMBOL",
		Short: "Show a service, method, message or enum of a server as proto source",
		Long: `Show a service, method, message, enum, field or extension as proto source.

The schema is asked of the server (reflection), which has no comments; with --proto
it is read from files, comments and all, and there is no address.`,
		Example: `  connectum describe localhost:5000 greeter.v1.GreeterService
  connectum describe localhost:5000 greeter.v1.SayHelloRequest
  connectum describe --proto proto/greeter/v1/greeter.proto --import-path proto greeter.v1.GreeterService/SayHello`,
		Args:              takes(1, 2),
		ValidArgsFunction: completeNames(&f.serverFlags, &f.protoFlags, false, serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.finish(io, f.run(cmd.Context(), io, args))
		},
	}
	f.serverFlags.addTo(cmd, "default 30s")
	f.protoFlags.addTo(cmd)
	return cmd
}

func (f *describeFlags) run(ctx context.Context, io *term.IO, args []string) error {
	ctx, cancel := f.bound(ctx, usualTimeout)
	defer cancel()
	s, hangUp, rest, err := openSchema(ctx, &f.serverFlags, &f.protoFlags, args)
	if err != nil {
		return err
	}
	defer hangUp()
	if len(rest) != 1 {
		return exit.With(exit.Usage, errors.New("describe one symbol; list tells of the services"))
	}
	name := rest[0]
	if service, method, err := invoke.ParseMethod(name); err == nil && strings.Contains(name, "/") {
		name = service + "." + method
	}
	done := waiting(io, "asking for the schema")
	d, err := s.Find(ctx, name)
	done()
	if err != nil {
		return notFound(ctx, s, err)
	}
	text, err := schema.Text(d)
	if err != nil {
		return err
	}
	kind := schema.Kind(d)
	if f.json {
		descriptor, err := invoke.JSON(schema.Proto(d), s.Types(ctx), false, false)
		if err != nil {
			return err
		}
		return writeJSON(io, struct {
			Name       string          `json:"name"`
			Kind       string          `json:"kind"`
			File       string          `json:"file"`
			Text       string          `json:"text"`
			Descriptor json.RawMessage `json:"descriptor"`
		}{string(d.FullName()), kind, d.ParentFile().Path(), text, descriptor})
	}
	io.Printf("%s", io.OnOut(term.Dim, term.Clean(fmt.Sprintf("// %s %s of %s", kind, d.FullName(), d.ParentFile().Path()))))
	io.Printf("%s", term.Clean(strings.TrimRight(text, "\n")))
	return nil
}

// notFound adds to the error what there is.
func notFound(ctx context.Context, s *schema.Schema, err error) error {
	if !errors.Is(err, schema.ErrNotFound) {
		return err
	}
	known, listErr := s.Services(ctx)
	if listErr != nil || len(known) == 0 {
		return exit.With(exit.Usage, err)
	}
	return exit.With(exit.Usage, fmt.Errorf("%w; there are %s", err, strings.Join(known, ", ")))
}
