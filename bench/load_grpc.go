//go:build !only && unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

const service = "/bench.v1.BenchService/"

// dialGRPC uses grpc-go, the client that costs the load least. It offers the servers
// no compression.
func dialGRPC(addr string) (*grpc.ClientConn, error) {
	register.Do(func() { encoding.RegisterCompressor(none{}) })
	return dialGzip(addr, grpc.WithDefaultCallOptions(experimental.AcceptCompressors(none{}.Name())))
}

// dialGzip offers gzip, as grpc-go does when something of the program links it: here
// that is grpcnative.
func dialGzip(addr string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig())...)
}

// none is a compressor that no server has: a list without any would mean all to
// grpc-go.
type none struct{}

var register sync.Once

func (none) Name() string                                 { return "none" }
func (none) Compress(w io.Writer) (io.WriteCloser, error) { return nil, errors.ErrUnsupported }
func (none) Decompress(r io.Reader) (io.Reader, error)    { return nil, errors.ErrUnsupported }

// grpcCaller calls by gRPC.
type grpcCaller struct {
	conn     *grpc.ClientConn
	method   string
	messages int
	text     string
}

func newGRPCCaller(conn *grpc.ClientConn, w *workload) *grpcCaller {
	return &grpcCaller{conn, w.method, w.messages, w.text()}
}

func (c *grpcCaller) close() {}

func (c *grpcCaller) check(text string) error {
	if text != c.text {
		return fmt.Errorf("%s answered %d bytes that are not those that were sent", c.method, len(text))
	}
	return nil
}

func (c *grpcCaller) call() error {
	switch c.method {
	case "Count":
		return c.count()
	case "Chat":
		return c.chat()
	}
	res := new(benchv1.EchoResponse)
	if err := c.conn.Invoke(context.Background(), service+"Echo", &benchv1.EchoRequest{Text: c.text}, res); err != nil {
		return err
	}
	return c.check(res.GetText())
}

func (c *grpcCaller) count() error {
	stream, err := c.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, service+"Count")
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(&benchv1.CountRequest{Text: c.text, Times: int32(c.messages)}), stream.CloseSend()); err != nil {
		return err
	}
	for range c.messages {
		res := new(benchv1.CountResponse)
		if err := errors.Join(stream.RecvMsg(res), c.check(res.GetText())); err != nil {
			return err
		}
	}
	return ended(stream.RecvMsg(new(benchv1.CountResponse)))
}

func (c *grpcCaller) chat() error {
	stream, err := c.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, service+"Chat")
	if err != nil {
		return err
	}
	for range c.messages {
		if err := stream.SendMsg(&benchv1.ChatRequest{Text: c.text}); err != nil {
			return err
		}
		res := new(benchv1.ChatResponse)
		if err := errors.Join(stream.RecvMsg(res), c.check(res.GetText())); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return ended(stream.RecvMsg(new(benchv1.ChatResponse)))
}

// ended wants a stream to be over, and well.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		return errors.New("a message too many")
	}
	return err
}
