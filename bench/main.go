//go:build unix

// Command bench compares a bare connectum server with bare Connect on net/http:
// the same service, the same load, each server a process of its own, rounds
// interleaved.
//
//	go run . [-rounds 5] [-calls 20000]
//
// It prints, for each way of calling, the CPU time that the server's process
// takes for a call and what it allocates, and their ratios. Every answer is
// checked. It talks to the loopback alone and ends by itself.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum"
)

var (
	serve  = flag.String("serve", "", "be the server of this name; used by the program itself")
	rounds = flag.Int("rounds", 5, "rounds for each way of calling")
	calls  = flag.Int("calls", 20_000, "unary calls a round; streams are 200 times fewer")
)

func main() {
	flag.Parse()
	if *serve != "" {
		if err := runServer(*serve); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := compare(); err != nil {
		log.Fatal(err)
	}
}

const (
	unary  = "/bench.v1.Bench/Unary"
	stream = "/bench.v1.Bench/Stream"
)

// messages is the length of a stream.
const messages = 1000

func register(s *connect.Server) {
	s.Register(connect.Method{Spec: connect.Spec{Procedure: unary}, Handler: func(_ context.Context, _ connect.Spec, st connect.ServerStream) error {
		in := new(wrapperspb.StringValue)
		if err := st.Receive(in); err != nil {
			return err
		}
		return st.Send(in)
	}}, connect.Method{Spec: connect.Spec{Procedure: stream, StreamType: connect.StreamTypeServer}, Handler: func(_ context.Context, _ connect.Spec, st connect.ServerStream) error {
		in := new(wrapperspb.StringValue)
		if err := st.Receive(in); err != nil {
			return err
		}
		for range messages {
			if err := st.Send(in); err != nil {
				return err
			}
		}
		return nil
	}})
}

// usage is what a server's process has used.
type usage struct {
	CPU    time.Duration
	Allocs uint64
}

func stat(w http.ResponseWriter, _ *http.Request) {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_ = json.NewEncoder(w).Encode(usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs})
}

// runServer serves until its standard input ends.
func runServer(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if name == "connectum" {
		srv := connectum.New(connectum.Config{Logger: slog.New(slog.DiscardHandler)})
		register(srv.RPC())
		srv.Handle("/stat", http.HandlerFunc(stat))
		return srv.Serve(context.Background(), l)
	}
	rpc := connect.NewServer()
	register(rpc)
	mux := http.NewServeMux()
	connecthttp.Mount(mux, rpc)
	mux.HandleFunc("/stat", stat)
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return (&http.Server{Handler: mux, Protocols: p}).Serve(l)
}

// server is a process that serves.
type server struct {
	name, url string
	stdin     io.Closer
	cmd       *exec.Cmd
}

func start(name string) (*server, error) {
	cmd := exec.Command(os.Args[0], "-serve", name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	return &server{name, "http://" + strings.TrimSpace(addr), in, cmd}, err
}

func (s *server) usage() (u usage, err error) {
	res, err := http.Get(s.url + "/stat")
	if err != nil {
		return u, err
	}
	defer res.Body.Close()
	return u, json.NewDecoder(res.Body).Decode(&u)
}

// way is a way of calling.
type way struct {
	name     string
	two      bool
	inFlight int
	size     int // of the message, in bytes
	stream   bool
	opts     []connecthttp.Option
}

// identity keeps clients from asking for gzip, which bare Connect answers with
// whatever the size.
var identity = connecthttp.WithCompressors()

var ways = []way{
	{"gRPC unary 30 B, 64 in flight", true, 64, 30, false, []connecthttp.Option{connecthttp.WithGRPC(), identity}},
	{"gRPC unary 30 B, 1 in flight", true, 1, 30, false, []connecthttp.Option{connecthttp.WithGRPC(), identity}},
	{"gRPC unary 10 KB, 64 in flight", true, 64, 10_000, false, []connecthttp.Option{connecthttp.WithGRPC(), identity}},
	{"gRPC stream of 1000, 4 in flight", true, 4, 30, true, []connecthttp.Option{connecthttp.WithGRPC(), identity}},
	{"Connect proto HTTP/1.1 30 B, 16 in flight", false, 16, 30, false, []connecthttp.Option{identity}},
	{"Connect JSON HTTP/1.1 30 B, 16 in flight", false, 16, 30, false, []connecthttp.Option{connecthttp.WithProtoJSON(), identity}},
	{"Connect proto HTTP/1.1 30 B, client takes gzip", false, 16, 30, false, nil},
}

// load makes n calls.
func (w *way) load(url string, n int) error {
	p := new(http.Protocols)
	p.SetHTTP1(!w.two)
	p.SetUnencryptedHTTP2(w.two)
	tr := &http.Transport{Protocols: p, MaxIdleConnsPerHost: w.inFlight}
	defer tr.CloseIdleConnections()
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: tr}, url, w.opts...))
	text := strings.Repeat("x", w.size)
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, w.inFlight)
	var wg sync.WaitGroup
	for range w.inFlight {
		wg.Go(func() {
			in, out := wrapperspb.String(text), new(wrapperspb.StringValue)
			for left.Add(-1) >= 0 {
				if err := w.call(client, in, out); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (w *way) call(client *connect.Client, in, out *wrapperspb.StringValue) error {
	if !w.stream {
		err := client.CallUnary(context.Background(), connect.Spec{Procedure: unary}, in, out)
		if err == nil && out.GetValue() != in.GetValue() {
			err = fmt.Errorf("wrong answer of %d bytes", len(out.GetValue()))
		}
		return err
	}
	st, err := client.CallServerStream(context.Background(), connect.Spec{Procedure: stream, StreamType: connect.StreamTypeServer}, in)
	if err != nil {
		return err
	}
	for range messages {
		if err := st.Receive(out); err != nil {
			return err
		}
		if out.GetValue() != in.GetValue() {
			return fmt.Errorf("wrong message of %d bytes", len(out.GetValue()))
		}
	}
	return st.Close()
}

func compare() error {
	var servers []*server
	for _, name := range []string{"connect", "connectum"} {
		s, err := start(name)
		if err != nil {
			return err
		}
		defer func() { _ = s.stdin.Close(); _ = s.cmd.Wait() }()
		servers = append(servers, s)
	}
	fmt.Printf("| way | Connect µs | connectum µs | CPU ratio | Connect allocs | connectum allocs |\n|---|---|---|---|---|---|\n")
	for _, w := range ways {
		n := *calls
		if w.stream {
			n /= 200
		}
		var cpu, allocs [2][]float64
		var ratios []float64
		for round := range *rounds + 1 {
			var used [2]float64
			for k := range servers {
				i := (k + round) % 2
				before, err := servers[i].usage()
				if err != nil {
					return err
				}
				if err := w.load(servers[i].url, n); err != nil {
					return fmt.Errorf("%s, %s: %w", servers[i].name, w.name, err)
				}
				after, err := servers[i].usage()
				if err != nil {
					return err
				}
				used[i] = float64((after.CPU - before.CPU).Microseconds()) / float64(n)
				if round > 0 { // the first warms up
					cpu[i] = append(cpu[i], used[i])
					allocs[i] = append(allocs[i], float64(after.Allocs-before.Allocs)/float64(n))
				}
			}
			if round > 0 {
				ratios = append(ratios, used[1]/used[0])
			}
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %.1f | %.1f |\n", w.name, median(cpu[0]), median(cpu[1]), median(ratios), median(allocs[0]), median(allocs[1]))
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
