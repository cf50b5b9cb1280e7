package grpcnative

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// fits reports whether the streams of the grpc-go that is linked can do what the
// engine needs. Its interface does not tell, so it is asked for one: by a call,
// over a pipe, before the server listens. Without it a server that was built with
// another version would start, and answer every call unimplemented.
func (e *engine) fits(ctx context.Context) error {
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	saw := make(chan error, 1)
	gs := grpc.NewServer(append(e.options(), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		saw <- e.usable(grpc.ServerTransportStreamFromContext(ss.Context()))
		return nil
	}))...)
	l := &once{conn: server, shut: make(chan struct{})}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer gs.Stop()
	serving.Go(func() { _ = gs.Serve(l) })
	serving.Go(func() { _, _ = io.Copy(io.Discard, client) })
	if _, err := client.Write(firstCall()); err != nil {
		return errors.Join(errors.New("grpcnative: grpc-go takes no connection"), err)
	}
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	select {
	case err := <-saw:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout.C:
		return fmt.Errorf("grpcnative: grpc-go %s does not answer a call over a pipe", grpc.Version)
	}
}

// usable reports what is wrong with a stream of grpc-go's.
func usable(ts grpc.ServerTransportStream) error {
	if _, ok := ts.(transport); !ok {
		return fmt.Errorf("grpcnative: the streams of grpc-go %s (%T) lack methods that the engine needs: use the version that its go.mod names",
			grpc.Version, ts)
	}
	return nil
}

// firstCall is the beginning of a connection with one call on it.
func firstCall() []byte {
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = append(out, 0, 0, 0, 4, 0, 0, 0, 0, 0) // SETTINGS
	var block []byte
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/connectum.Fit/Check"},
		{":authority", "localhost"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		block = appendString(appendString(append(block, 0), field[0]), field[1])
	}
	out = append(out, 0, byte(len(block)>>8), byte(len(block)), frameHeaders, flagEndStream|flagEndHeaders)
	return append(binary.BigEndian.AppendUint32(out, 1), block...)
}

// once is the listener of one connection.
type once struct {
	conn  net.Conn
	shut  chan struct{}
	close sync.Once
}

// Accept implements [net.Listener].
func (l *once) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.shut
	return nil, net.ErrClosed
}

// Close implements [net.Listener].
func (l *once) Close() error {
	l.close.Do(func() { close(l.shut) })
	return nil
}

// Addr implements [net.Listener].
func (*once) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
