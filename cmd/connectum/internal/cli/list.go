package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

type listFlags struct {
	serverFlags
	protoFlags
	long bool
}

func listCommand(io *term.IO) *cobra.Command {
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list [ADDRESS] [pkg.Service]",
		Short: "List the services of a server, or the methods of one",
		Long: `List the services of a server, or the methods of one, in the form that call takes.

The schema is asked of the server (reflection); with --proto it is read from files
and there is no address.`,
		Example: `  connectum list localhost:5000
  connectum list localhost:5000 greeter.v1.GreeterService --long
  connectum list --proto proto/greeter/v1/greeter.proto --import-path proto`,
		Args:              takes(0, 2),
		ValidArgsFunction: completeNames(&f.serverFlags, &f.protoFlags, false, serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.finish(io, f.run(cmd.Context(), io, args))
		},
	}
	f.serverFlags.addTo(cmd, "default 30s")
	f.protoFlags.addTo(cmd)
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, "write what the methods take and return")
	return cmd
}

// methodInfo is a method as --json tells it.
type methodInfo struct {
	Name            string `json:"name"`
	Request         string `json:"request"`
	Response        string `json:"response"`
	ClientStreaming bool   `json:"clientStreaming"`
	ServerStreaming bool   `json:"serverStreaming"`
	Idempotency     string `json:"idempotency"`
	Deprecated      bool   `json:"deprecated,omitempty"`
}

func (f *listFlags) run(ctx context.Context, io *term.IO, args []string) error {
	ctx, cancel := f.bound(ctx, usualTimeout)
	defer cancel()
	s, hangUp, rest, err := f.open(ctx, args)
	if err != nil {
		return err
	}
	defer hangUp()
	done := waiting(io, "asking for the schema")
	defer done()
	if len(rest) == 0 {
		names, err := s.Services(ctx)
		done()
		if err != nil {
			return err
		}
		if f.json {
			return writeJSON(io, map[string][]string{"services": append([]string{}, names...)})
		}
		for _, name := range names {
			io.Printf("%s", name)
		}
		return nil
	}
	d, err := s.Find(ctx, rest[0])
	done()
	if err != nil {
		return notFound(ctx, s, err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return exit.With(exit.Usage, fmt.Errorf("%s is no service; describe tells what it is", rest[0]))
	}
	methods := []methodInfo{}
	for i := range sd.Methods().Len() {
		methods = append(methods, methodOf(sd.Methods().Get(i)))
	}
	if f.json {
		return writeJSON(io, map[string]any{"service": sd.FullName(), "methods": methods})
	}
	for _, m := range methods {
		if f.long {
			io.Printf("%s%s", m.Name, io.OnOut(term.Dim, m.signature()))
			continue
		}
		io.Printf("%s", m.Name)
	}
	return nil
}

// open opens the schema that the arguments and flags name, and returns what is
// left of the arguments.
func (f *listFlags) open(ctx context.Context, args []string) (*schema.Schema, func(), []string, error) {
	return openSchema(ctx, &f.serverFlags, &f.protoFlags, args)
}

// openSchema takes the address from args, unless there are files.
func openSchema(ctx context.Context, sf *serverFlags, pf *protoFlags, args []string) (*schema.Schema, func(), []string, error) {
	var t *target.Target
	if len(pf.files) == 0 {
		if len(args) == 0 {
			return nil, nil, nil, exit.With(exit.Usage, errors.New("an address or --proto is needed"))
		}
		var err error
		if t, err = sf.target(args[0]); err != nil {
			return nil, nil, nil, err
		}
		args = args[1:]
	}
	s, hangUp, err := pf.schema(ctx, t)
	return s, hangUp, args, err
}

func methodOf(m protoreflect.MethodDescriptor) methodInfo {
	info := methodInfo{
		Name:    string(m.Parent().FullName()) + "/" + string(m.Name()),
		Request: string(m.Input().FullName()), Response: string(m.Output().FullName()),
		ClientStreaming: m.IsStreamingClient(), ServerStreaming: m.IsStreamingServer(),
		Idempotency: "IDEMPOTENCY_UNKNOWN",
	}
	if o, ok := m.Options().(*descriptorpb.MethodOptions); ok {
		info.Idempotency, info.Deprecated = o.GetIdempotencyLevel().String(), o.GetDeprecated()
	}
	return info
}

func (m methodInfo) signature() string {
	stream := func(is bool) string {
		if is {
			return "stream "
		}
		return ""
	}
	return fmt.Sprintf(" (%s%s) returns (%s%s)", stream(m.ClientStreaming), m.Request, stream(m.ServerStreaming), m.Response)
}
