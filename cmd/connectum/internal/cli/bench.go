package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/cmd/connectum/internal/exit"
	"github.com/connectum-go/connectum/cmd/connectum/internal/invoke"
	"github.com/connectum-go/connectum/cmd/connectum/internal/load"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

type benchFlags struct {
	callFlags
	load        load.Config
	connections int
	allowRemote bool
}

func benchCommand(io *term.IO) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench ADDRESS pkg.Service/Method",
		Short: "Call a method at a constant rate, and measure",
		Long: `Call a method at a constant rate, and measure what its users would see.

Calls arrive by the clock, whatever the server does with them, and their latency
counts from when they were due: a server that stands still for a second shows as a
second for all who came in it. Calls that are due while --max-in-flight are under way
wait; the wait counts.

Several messages in -d are used in turn by methods that take one. Only servers on
this machine are called, unless --allow-remote says that you may load that one.
Ctrl-C ends the run and shows what there is.

Exit codes: 0 all calls answered, 5 none reached the server or answered in time,
6 some failed, 1 the rate was not reached.`,
		Example: `  connectum bench localhost:5000 greeter.v1.GreeterService/SayHello -d '{"name":"Ada"}'
  connectum bench localhost:5000 greeter.v1.GreeterService/SayHello -d @names.json --rate 2000 --duration 30s --protocol grpc
  connectum bench localhost:5000 orders.v1.OrderService/ListOrders --rate 50 --json > result.json`,
		Args:              takes(2, 2),
		ValidArgsFunction: completeNames(&f.serverFlags, &f.protoFlags, true, methodNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.finish(io, f.run(cmd.Context(), io, args[0], args[1], cmd.Flags().Changed("data")))
		},
	}
	flags := cmd.Flags()
	flags.Float64VarP(&f.load.Rate, "rate", "r", 100, "calls a second")
	flags.DurationVar(&f.load.Duration, "duration", 10*time.Second, "how long calls arrive, at most 1h")
	flags.DurationVar(&f.load.Warmup, "warmup", time.Second, "how long calls arrive before, unmeasured")
	flags.IntVarP(&f.connections, "connections", "c", 4, "connections")
	flags.IntVar(&f.load.MaxInFlight, "max-in-flight", 1000, "calls under way at one time")
	flags.BoolVar(&f.allowRemote, "allow-remote", false, "load a server that is not on this machine")
	flags.StringVarP(&f.data, "data", "d", "", "`JSON` of the requests, @file, or - for standard input")
	flags.StringVar(&f.protocol, "protocol", target.Connect, "connect, grpc or grpcweb")
	flags.StringVar(&f.http, "http-version", "2", "1 or 2")
	f.serverFlags.addTo(cmd, "of one call; default 10s")
	f.protoFlags.addTo(cmd)
	complete(cmd, "protocol", target.Protocols()...)
	return cmd
}

// benchResult is what --json tells.
type benchResult struct {
	Method      string  `json:"method"`
	Address     string  `json:"address"`
	Protocol    string  `json:"protocol"`
	HTTP        string  `json:"http"`
	Rate        float64 `json:"rate"`
	Duration    float64 `json:"durationSeconds"`
	Connections int     `json:"connections"`
	*load.Result
}

func (f *benchFlags) run(ctx context.Context, io *term.IO, address, method string, hasData bool) error {
	t, err := f.target(address)
	if err != nil {
		return err
	}
	if !t.Loopback() && !f.allowRemote {
		return exit.With(exit.Refused, fmt.Errorf("%s is not on this machine: --allow-remote says that you may load it", t))
	}
	if f.load.Timeout = f.timeout; f.timeout == 0 {
		f.load.Timeout = 10 * time.Second
	}
	version, err := httpVersion(f.http)
	if err == nil {
		err = f.load.Check()
	}
	if err == nil && (f.connections < 1 || f.connections > 10_000) {
		err = errors.New("--connections: want 1 to 10000")
	}
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	asking, stop := context.WithTimeout(ctx, usualTimeout)
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
	messages, err := f.messages(io, m, types, hasData)
	if err != nil {
		return err
	}
	clients, closeAll, err := f.clients(t, version, types)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	defer closeAll()
	f.load.Call = func(ctx context.Context, n int) error {
		call := invoke.Call{Client: clients[n%len(clients)], Method: m, Requests: turn(messages, m, n), Answer: func(proto.Message) error { return nil }}
		return call.Run(ctx)
	}
	f.load.Class = class
	result := f.measure(ctx, io)
	out := benchResult{
		Method: string(m.Parent().FullName()) + "/" + string(m.Name()), Address: t.String(), Protocol: f.protocol, HTTP: f.http,
		Rate: f.load.Rate, Duration: f.load.Duration.Seconds(), Connections: f.connections, Result: result,
	}
	if f.json {
		err = writeJSON(io, out)
	} else {
		out.tell(io)
	}
	if err != nil {
		return err
	}
	return f.verdict(result)
}

// measure shows how the run goes.
func (f *benchFlags) measure(ctx context.Context, io *term.IO) *load.Result {
	interval := 5 * time.Second
	if io.ErrTerminal {
		interval = 200 * time.Millisecond
	}
	if f.load.Warmup > 0 {
		io.Errorf("%s", io.OnErr(term.Dim, fmt.Sprintf("warming up for %v, then measuring for %v", f.load.Warmup, f.load.Duration)))
	}
	bar := io.Bar()
	defer bar.Clear()
	return load.Run(ctx, f.load, interval, func(p load.Progress) {
		bar.Show(p.Elapsed.Seconds()/p.Duration.Seconds(), fmt.Sprintf("%.0fs: %d of %d calls, %d failed, p99 %s", p.Elapsed.Seconds(), p.Answered+p.Failed, p.Total, p.Failed, shown(p.P99)))
	})
}

// messages reads all requests at once.
func (f *benchFlags) messages(t *term.IO, m protoreflect.MethodDescriptor, types invoke.Resolver, has bool) ([]proto.Message, error) {
	if !has {
		return nil, nil
	}
	next, closeData, err := f.requests(t, m, types, true)
	if err != nil {
		return nil, err
	}
	defer closeData()
	var out []proto.Message
	for {
		msg, err := next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, msg); len(out) > 100_000 {
			return nil, exit.With(exit.Usage, errors.New("that is more than 100000 messages"))
		}
	}
}

// turn returns the messages of call n: one of them for methods that take one,
// else all.
func turn(messages []proto.Message, m protoreflect.MethodDescriptor, n int) invoke.Messages {
	if len(messages) > 0 && !m.IsStreamingClient() {
		messages = messages[n%len(messages):][:1]
	}
	i := 0
	return func() (proto.Message, error) {
		if i == len(messages) {
			return nil, io.EOF
		}
		i++
		return messages[i-1], nil
	}
}

// clients makes as many connections as asked for: over HTTP/2 each client has
// one, over HTTP/1.1 they share a pool of so many.
func (f *benchFlags) clients(t *target.Target, v target.Version, types invoke.Resolver) ([]*connect.Client, func(), error) {
	n := f.connections
	if v == target.HTTP1 {
		if f.protocol == target.GRPC {
			return nil, nil, errors.New("gRPC needs HTTP/2")
		}
		n = 1
	}
	var out []*connect.Client
	var closers []func()
	codec := connecthttp.WithCodecs(connectproto.NewBinaryCodec(connectproto.WithTypeResolver(types)))
	for range n {
		transport := t.Transport(v)
		if v == target.HTTP1 {
			transport.MaxConnsPerHost = f.connections
		} else {
			transport.HTTP2 = &http.HTTP2Config{StrictMaxConcurrentRequests: true}
		}
		c, closeIdle, err := t.Over(transport, f.protocol, codec)
		if err != nil {
			return nil, nil, err
		}
		out, closers = append(out, c), append(closers, closeIdle)
	}
	return out, func() {
		for _, c := range closers {
			c()
		}
	}, nil
}

// class names an error by its code; what is not the server's verdict is
// unreachable or, by our own clock, timeout.
func class(err error) string {
	verdict, ok := errors.AsType[*connect.Error](err)
	switch {
	case connect.CodeOf(err) == connect.CodeDeadlineExceeded:
		return "deadline_exceeded"
	case ok && verdict.IsRemote():
		return verdict.Code().String()
	}
	return "unreachable"
}

func (f *benchFlags) verdict(r *load.Result) error {
	failed := r.Failed()
	switch {
	case failed > 0 && r.OK == 0 && failed == r.Errors["unreachable"]+r.Errors["deadline_exceeded"]:
		return exit.With(exit.Unreachable, errors.New("no call reached the server and was answered in time"))
	case failed > r.Cut:
		return exit.With(exit.RPC, fmt.Errorf("%s failed", count(failed-r.Cut, "call", "calls")))
	case r.NotSent > 0 && !r.Interrupted:
		return fmt.Errorf("%s never sent: the server is too slow for the rate", count(r.NotSent, "call was", "calls were"))
	}
	return nil
}

// tell writes the result for people.
func (r *benchResult) tell(io *term.IO) {
	io.Printf("%s at %s", io.OnOut(term.Bold, r.Method), r.Address)
	io.Printf("%s over HTTP/%s, %s", r.Protocol, r.HTTP, count(r.Connections, "connection", "connections"))
	io.Printf("")
	io.Printf("calls      %d due at %g a second for %gs", r.Calls, r.Rate, r.Duration)
	io.Printf("answered   %d, %.1f a second", r.OK, r.PerSecond)
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		io.Printf("%s     %d %s", io.OnOut(term.Red, "failed"), r.Errors[code], code)
	}
	if r.Cut > 0 {
		io.Printf("cut        %d were still under way", r.Cut)
	}
	if r.NotSent > 0 {
		why := "the server is too slow for the rate"
		if r.Interrupted {
			why = "interrupted"
		}
		io.Printf("%s   %d: %s", io.OnOut(term.Yellow, "not sent"), r.NotSent, why)
	}
	if r.OK > 0 {
		io.Printf("")
		l := r.Latency
		for _, row := range []struct {
			name  string
			value float64
		}{{"fastest", l.Min}, {"mean", l.Mean}, {"50%", l.P50}, {"90%", l.P90}, {"95%", l.P95}, {"99%", l.P99}, {"99.9%", l.P999}, {"slowest", l.Max}} {
			io.Printf("%-10s %10s", row.name, seconds(row.value))
		}
		io.Printf("")
		top := 0
		for _, b := range r.Bars {
			top = max(top, b.Count)
		}
		for _, b := range r.Bars {
			width := b.Count * 40 / top
			if b.Count > 0 {
				width = max(width, 1)
			}
			io.Printf("≤ %-8s %10d %s", seconds(b.UpTo), b.Count, io.OnOut(term.Cyan, strings.Repeat("█", width)))
		}
	}
	if lag := r.Lag.P99; lag > 0.005 {
		io.Printf("")
		io.Printf("%s this machine was too busy to send on time (timers %s late at 99%%): the figures are its own", io.OnOut(term.Yellow, "beware:"), seconds(lag))
	}
}

func seconds(s float64) string { return shown(time.Duration(s * float64(time.Second))) }
