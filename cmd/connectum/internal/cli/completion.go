package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
)

// completeWithin is how long a shell waits for a server when Tab is pressed, unless
// --timeout has been written.
const completeWithin = 2 * time.Second

// names lists what an argument can be, of a schema.
type names func(ctx context.Context, s *schema.Schema) ([]string, error)

func serviceNames(ctx context.Context, s *schema.Schema) ([]string, error) { return s.Services(ctx) }

func methodNames(ctx context.Context, s *schema.Schema) (found []string, err error) {
	all, err := s.Services(ctx)
	for _, name := range all {
		d, err := s.Find(ctx, name)
		if sd, ok := d.(protoreflect.ServiceDescriptor); ok && err == nil {
			for i := range sd.Methods().Len() {
				found = append(found, methodOf(sd.Methods().Get(i)).Name)
			}
		}
	}
	return found, err
}

// completeNames returns the completion of the argument behind the address, by the server
// or the --proto files, with which only calls have an address. Nothing is said where
// there is no answer.
func completeNames(sf *serverFlags, pf *protoFlags, calls bool, of names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if calls && len(pf.files) > 0 && len(args) > 0 {
			args = args[1:]
		}
		ctx, cancel := sf.bound(cmd.Context(), completeWithin)
		defer cancel()
		s, hangUp, rest, err := openSchema(ctx, sf, pf, args)
		if err != nil || len(rest) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer hangUp()
		all, _ := of(ctx, s)
		var found []string
		for _, name := range all {
			if strings.HasPrefix(name, begun) && isName(name) {
				found = append(found, name)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// isName keeps from the shell what a server should not have told.
func isName(name string) bool {
	return protoreflect.FullName(strings.Replace(name, "/", ".", 1)).IsValid()
}
