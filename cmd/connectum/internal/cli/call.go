package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

// usualTimeout bounds what has one answer.
const usualTimeout = 30 * time.Second

type callFlags struct {
	serverFlags
	protoFlags
	data     string
	protocol string
	http     string
	verbose  bool
	defaults bool
}

func callCommand(io *term.IO) *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call ADDRESS pkg.Service/Method",
		Short: "Call a method with JSON, of any kind and by any protocol",
		Long: `Call a method with JSON, of any kind and by any protocol.

The address is host:port, http://host, https://host or unix:///path. The schema is
asked of the server (reflection), or read from --proto files.

A method that takes one message gets an empty one without -d. One that takes a
stream reads its messages from -d or, without it, from standard input, one JSON
value after the other, and sends each as it comes. Answers of streams are written
as they come, one to a line.

Exit codes: 0 done, 2 wrong flags or message, 4 --proto files that do not compile,
5 no connection or no answer in time, 6 the server answered with an error.`,
		Example: `  connectum call localhost:5000 greeter.v1.GreeterService/SayHello -d '{"name":"Ada"}'
  connectum call localhost:5000 greeter.v1.GreeterService/SayHello -d @request.json --protocol grpc -v
  printf '{"name":"Ada"}{"name":"Grace"}' | connectum call localhost:5000 greeter.v1.GreeterService/Chat
  connectum call https://api.example.com orders.v1.OrderService/GetOrder -H 'Authorization: Bearer ...' --timeout 5s`,
		Args:              takes(2, 2),
		ValidArgsFunction: completeNames(&f.serverFlags, &f.protoFlags, true, methodNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.finish(io, f.run(cmd.Context(), io, args[0], args[1], cmd.Flags().Changed("data")))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.data, "data", "d", "", "`JSON` of the request, @file, or - for standard input")
	flags.StringVar(&f.protocol, "protocol", target.Connect, "connect, grpc or grpcweb")
	flags.StringVar(&f.http, "http-version", "", "1 or 2 (default what the protocol needs)")
	f.serverFlags.addTo(cmd, "default 30s, none for streams")
	f.protoFlags.addTo(cmd)
	flags.BoolVar(&f.defaults, "emit-defaults", false, "write fields that have their default too")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "write headers, trailers and timing to standard error")
	complete(cmd, "protocol", target.Protocols()...)
	return cmd
}

func (f *callFlags) run(ctx context.Context, io *term.IO, address, method string, hasData bool) error {
	t, err := f.target(address)
	if err != nil {
		return err
	}
	version, err := httpVersion(f.http)
	if err != nil {
		return err
	}
	if !slices.Contains(target.Protocols(), f.protocol) {
		return exit.With(exit.Usage, fmt.Errorf("--protocol %s: one of %s", f.protocol, strings.Join(target.Protocols(), ", ")))
	}
	asking, stop := f.bound(ctx, usualTimeout)
	defer stop()
	s, hangUp, err := f.schema(asking, t)
	if err != nil {
		return err
	}
	defer hangUp()
	done := waiting(io, "asking %s for its schema", t)
	m, err := invoke.Find(asking, s, method)
	done()
	if err != nil {
		return err
	}
	types := s.Types(asking)
	requests, closeData, err := f.requests(io, m, types, hasData)
	if err != nil {
		return err
	}
	defer closeData()

	streams := m.IsStreamingClient() || m.IsStreamingServer()
	if m.IsStreamingClient() && m.IsStreamingServer() {
		if version == target.HTTP1 {
			return exit.With(exit.Usage, errors.New("streams both ways need HTTP/2"))
		}
		version = target.HTTP2
	}
	client, closeIdle, err := t.Client(f.protocol, version, connecthttp.WithCodecs(connectproto.NewBinaryCodec(connectproto.WithTypeResolver(types))))
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer closeIdle()
	if streams {
		var cancel context.CancelFunc
		ctx, cancel = f.bound(ctx, 0)
		defer cancel()
	} else {
		ctx = asking
	}
	done = func() {}
	if !streams {
		done = waiting(io, "waiting for %s", t)
	}
	ctx, info := connect.NewClientContext(ctx)
	timing := &timing{begin: time.Now()}
	call := invoke.Call{Client: client, Method: m, Requests: requests, Answer: func(res proto.Message) error {
		timing.answer()
		done()
		text, err := invoke.JSON(res, types, !streams && !f.json, f.defaults)
		if err != nil {
			return fmt.Errorf("write the answer as JSON: %w", err)
		}
		_, err = fmt.Fprintf(io.Out, "%s\n", text)
		return err
	}}
	err = call.Run(ctx)
	done()
	if f.verbose {
		f.tell(io, info, timing)
	}
	return explain(ctx, t, types, err)
}

// explain gives the error of a call its exit code, and decodes its details.
func explain(ctx context.Context, t *target.Target, types invoke.Resolver, err error) error {
	if err == nil || exit.Code(err) != exit.Failed {
		return err
	}
	if verdict, ok := errors.AsType[*connect.Error](err); !ok && ctx.Err() == nil {
		return err // of our own side
	} else if ok && !verdict.IsRemote() && (verdict.Code() == connect.CodeInvalidArgument || verdict.Code() == connect.CodeResourceExhausted) {
		return err // a message that can't be read or sent
	}
	err = t.Explain(ctx, err)
	if exit.Code(err) == exit.RPC {
		if failure, ok := invoke.Decode(err, types); ok {
			return exit.With(exit.RPC, failure)
		}
	}
	return err
}

// requests opens what -d says.
func (f *callFlags) requests(t *term.IO, m protoreflect.MethodDescriptor, types invoke.Resolver, has bool) (invoke.Messages, func(), error) {
	none := func() {}
	switch {
	case !has && m.IsStreamingClient(), f.data == "-", f.data == "@-":
		if t.ErrTerminal && t.InTerminal() {
			t.Errorf("%s", t.OnErr(term.Dim, fmt.Sprintf("reading %s as JSON from the terminal, one or more; Ctrl-D ends them", m.Input().FullName())))
		}
		return invoke.ReadJSON(t.In, m.Input(), types), none, nil
	case !has:
		return invoke.Once(dynamicpb.NewMessage(m.Input())), none, nil
	case strings.HasPrefix(f.data, "@"):
		file, err := os.Open(f.data[1:])
		if err != nil {
			return nil, nil, exit.With(exit.Usage, err)
		}
		return invoke.ReadJSON(file, m.Input(), types), func() { _ = file.Close() }, nil
	}
	return invoke.ReadJSON(strings.NewReader(f.data), m.Input(), types), none, nil
}

// timing is when the answers came. It is safe for concurrent use.
type timing struct {
	begin time.Time

	mu    sync.Mutex
	first time.Duration
	count int
}

func (t *timing) answer() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		t.first = time.Since(t.begin)
	}
	t.count++
}

// tell writes what -v shows.
func (f *callFlags) tell(io *term.IO, info *connect.CallInfo, t *timing) {
	total := time.Since(t.begin)
	var method, url, proto string
	var status int
	if over, ok := info.TransportInfo.(*connecthttp.ClientInfo); ok {
		u := over.RequestURL()
		method, url, proto, status = over.HTTPMethod(), u.String(), over.ResponseProto(), over.ResponseStatus()
	}
	if f.json {
		line, err := json.Marshal(map[string]any{"call": map[string]any{
			"url": url, "protocol": info.Protocol, "http": proto, "status": status,
			"requestHeaders": headers(info.RequestHeader(), true), "headers": headers(info.ResponseHeader(), false), "trailers": headers(info.ResponseTrailer(), false),
			"messages": t.count, "firstSeconds": t.first.Seconds(), "seconds": total.Seconds(),
		}})
		if err == nil {
			io.Errorf("%s", line)
		}
		return
	}
	line := func(mark, text string) { io.Errorf("%s %s", io.OnErr(term.Dim, mark), term.Clean(text)) }
	list := func(mark string, h map[string][]string) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, v := range h[name] {
				line(mark, strings.ToLower(name)+": "+v)
			}
		}
	}
	line(">", strings.TrimSpace(method+" "+url)+" ("+info.Protocol+")")
	list(">", headers(info.RequestHeader(), true))
	if status != 0 {
		line("<", fmt.Sprintf("%s %d", proto, status))
	}
	list("<", headers(info.ResponseHeader(), false))
	if trailers := headers(info.ResponseTrailer(), false); len(trailers) > 0 {
		line("<", "trailers")
		list("<", trailers)
	}
	if t.count > 1 {
		line("*", fmt.Sprintf("%d messages, the first after %s, the last by %s", t.count, shown(t.first), shown(total)))
		return
	}
	line("*", "took "+shown(total))
}

// headers copies h; what proves who we are is left out of what is shown.
func headers(h *connect.Header, sent bool) map[string][]string {
	out := map[string][]string{}
	for name, values := range h.All() {
		if sent && (name == "Authorization" || name == "Cookie" || name == "Proxy-Authorization") {
			values = []string{"(not shown)"}
		}
		out[name] = values
	}
	return out
}

// shown is d with three digits.
func shown(d time.Duration) string {
	for unit := time.Second; unit >= time.Microsecond; unit /= 1000 {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
