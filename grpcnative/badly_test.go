package grpcnative_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// badly is code of the user's that ends as the call's x-end says, at its x-place.
func badly(ctx context.Context, place string) {
	if info, ok := connect.CallInfoForServerContext(ctx); ok && info.RequestHeader().Get("X-Place") == place {
		end(info.RequestHeader().Get("X-End"))
	}
}

func end(how string) {
	switch how {
	case "panic":
		panic("secret")
	case "panic with an error of gRPC's":
		panic(connect.NewError(connect.CodeNotFound, "secret"))
	case "http.ErrAbortHandler":
		panic(http.ErrAbortHandler)
	case "Goexit":
		runtime.Goexit()
	}
}

// badCodec and badGzip end badly when they encode, decode or decompress. They know
// nothing of the call.
type badCodec struct {
	connect.Codec
	encoding, decoding string // how these end
}

func (c badCodec) MarshalWrite(ctx context.Context, w io.Writer, msg any) error {
	if m, ok := msg.(*testv1.GetResponse); ok && m.GetText() == "bad" {
		_, _ = w.Write([]byte("half of a message")) // that nobody may get
		end(c.encoding)
	}
	return c.Codec.MarshalWrite(ctx, w, msg)
}

func (c badCodec) UnmarshalRead(ctx context.Context, r io.Reader, msg any) error {
	if _, ok := msg.(*testv1.GetRequest); ok {
		end(c.decoding)
	}
	return c.Codec.UnmarshalRead(ctx, r, msg)
}

type badGzip struct{ connect.Compressor }

func (badGzip) Name() string { return "gzip" }

func (badGzip) Decompress(r io.Reader) (io.ReadCloser, error) { return badReader{r}, nil }

type badReader struct{ io.Reader }

func (badReader) Close() error { return nil }

// Read ends by what is compressed.
func (r badReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	end(string(p[:n]))
	return n, err
}

// badMessage can't be marshaled.
type badMessage struct {
	*testv1.GetResponse
	ctx context.Context
}

func (m badMessage) ProtoReflect() protoreflect.Message {
	badly(m.ctx, "message")
	return m.GetResponse.ProtoReflect()
}

// Whatever code of the user's does, wherever it stands, the call ends with an error
// that tells nothing, alone; a panic behind raw grpc-go ends the process, see the
// control below.
func TestCodeThatEndsBadlyEndsItsCallAlone(t *testing.T) {
	t.Parallel()
	svc := testservice.Service{
		OnGet: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			badly(ctx, "unary handler")
			return &testv1.GetResponse{Text: "bad"}, nil
		},
		OnCount: func(ctx context.Context, _ *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			if err := s.Send(&testv1.CountResponse{}); err != nil {
				return err
			}
			badly(ctx, "server stream, after a message")
			return nil
		},
		OnSum: func(ctx context.Context, s testv1connect.TestServiceSumServerStream) (*testv1.SumResponse, error) {
			badly(ctx, "client stream")
			return &testv1.SumResponse{}, nil
		},
		OnChat: func(ctx context.Context, _ testv1connect.TestServiceChatServerStream) error {
			badly(ctx, "bidi stream")
			return nil
		},
	}
	around := connectum.Wrap("badly", func(next connect.ServerFunc) connect.ServerFunc {
		return func(ctx context.Context, spec connect.Spec, s connect.ServerStream) error {
			badly(ctx, "interceptor, before")
			err := next(ctx, spec, s)
			badly(ctx, "interceptor, after")
			return err
		}
	})
	paths := map[string]string{
		"unary handler": getPath, "server stream, after a message": countPath, "client stream": sumPath, "bidi stream": chatPath,
		"interceptor, before": getPath, "interceptor, after": getPath, "codec, decoding": getPath, "codec, encoding": getPath,
		"message": service + "Bad", "compressor": getPath,
	}
	for place, path := range paths {
		for _, end := range []string{"panic", "panic with an error of gRPC's", "http.ErrAbortHandler", "Goexit"} {
			t.Run(place+", "+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					cfg := quiet()
					cfg.Interceptors = []connectum.Interceptor{around}
					cfg.Compressors = []connect.Compressor{badGzip{}}
					switch place {
					case "codec, encoding":
						cfg.Codecs = []connect.Codec{badCodec{Codec: connectproto.NewBinaryCodec(), encoding: end}}
					case "codec, decoding":
						cfg.Codecs = []connect.Codec{badCodec{Codec: connectproto.NewBinaryCodec(), decoding: end}}
					}
					srv := newServer(cfg, svc)
					srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: service + "Bad"},
						Handler: func(ctx context.Context, _ connect.Spec, s connect.ServerStream) error {
							return s.Send(badMessage{&testv1.GetResponse{}, ctx})
						}})
					v := &victim{Server: srv, t: t, memory: newMemory(), done: make(chan error, 1)}
					go func() { v.done <- v.Serve(context.Background(), v.memory) }()
					synctest.Wait()
					p := v.peer(1 << 20)
					body := message(1, attack.EndStream, &testv1.GetRequest{Text: "x"})
					if place == "compressor" {
						body.Payload = attack.Envelope(1, []byte(end))
					}
					p.send(p.post(1, path, grpcType, "grpc-encoding", "gzip", "x-place", place, "x-end", end), body)
					status, text := "13", "internal error"
					if end == "http.ErrAbortHandler" {
						status, text = "14", ""
					}
					if e, _ := p.end(1); e.fields["grpc-status"] != status || !strings.HasPrefix(e.fields["grpc-message"], text) ||
						strings.Contains(string(e.data), "half") {
						t.Errorf("%+v, want an error that tells nothing", e)
					}
					synctest.Wait()
					if n := v.InFlight(); n != 0 {
						t.Errorf("%d calls in flight", n)
					}
					p.call(3, echoPath, &testv1.EchoRequest{})
					if e, _ := p.end(3); e.fields["grpc-status"] != "0" {
						t.Errorf("the next call: %+v", e)
					}
					if n := taken(srv); n != 1 {
						t.Errorf("the engine took %v connections", n)
					}
					_ = p.Close()
					if err := srv.Shutdown(context.Background()); err != nil {
						t.Error(err)
					}
					<-v.done
				})
			})
		}
	}
}

// A handler that recovers from what encoding a message did sends the next one alone.
func TestAMessageAfterOneThatPanickedIsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.Codecs = []connect.Codec{badCodec{Codec: connectproto.NewBinaryCodec(), encoding: "panic"}}
		srv := newServer(cfg, testservice.Service{})
		srv.RPC().Register(connect.Method{Spec: connect.Spec{Procedure: service + "Bad"},
			Handler: func(_ context.Context, _ connect.Spec, s connect.ServerStream) error {
				func() {
					defer func() { _ = recover() }()
					_ = s.Send(&testv1.GetResponse{Text: "bad"})
				}()
				return s.Send(&testv1.GetResponse{Text: "whole"})
			}})
		v := &victim{Server: srv, t: t, memory: newMemory(), done: make(chan error, 1)}
		go func() { v.done <- v.Serve(context.Background(), v.memory) }()
		synctest.Wait()
		p := v.peer(1 << 20)
		p.call(1, service+"Bad", &testv1.GetRequest{})
		e, _ := p.end(1)
		if got := answer(t, e, new(testv1.GetResponse)).GetText(); got != "whole" {
			t.Errorf("got %q", got)
		}
		_ = p.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-v.done
	})
}

// plainPanic is the environment variable that makes a process serve a panic by
// grpc-go alone.
const plainPanic = "GRPCNATIVE_PLAIN_PANIC"

// TestPlainPanic is the server of the test below, and nothing otherwise.
func TestPlainPanic(t *testing.T) { //nolint:paralleltest // it ends the process
	if os.Getenv(plainPanic) == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { panic("boom") }))
	go func() { _ = srv.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c, 1<<20)
	p.call(1, getPath, &testv1.GetRequest{})
	p.end(1)
	srv.Stop()
}

// The control: without the engine the process is gone.
func TestAPanicBehindGrpcGoAloneEndsTheProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPlainPanic$")
	cmd.Env = append(os.Environ(), plainPanic+"=1")
	said, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Success() || !strings.Contains(string(said), "panic: boom") {
		t.Errorf("%v: %s", err, said)
	}
}
