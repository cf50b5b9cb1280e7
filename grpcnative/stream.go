package grpcnative

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/connectum-go/connectum"
)

// transport is what grpc-go's stream can do, which the interface it is known by
// does not tell: it reads messages without deciding what is wrong with them. Nor does
// it refuse header values that are not of ASCII, as [grpc.ServerStream] does.
type transport interface {
	grpc.ServerTransportStream
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string // the encoding of the request, which is not among its header
	WriteStatus(st *status.Status) error
}

// stream is one call. It is the context that grpc-go derives the handler's
// from, so that it is found again there.
type stream struct {
	context.Context
	conn   *conn
	id     uint32
	header metadata.MD
	live   atomic.Pointer[connectum.EngineCall] // for the reader of the connection

	call    *connectum.EngineCall
	grpc    grpc.ServerStream
	raw     transport
	info    connect.CallInfo
	codec   connect.Codec
	request connect.Compressor // of the request; nil: none
	gzip    bool               // answers may be compressed
	twice   bool               // small ones must not be, though they could
	begun   bool               // the header has been sent
	given   bool               // a message has
	unary   bool               // one answer

	streamed bool // requests are many
	received bool // the only one has been

	most    int // of a request message
	mostOut int

	prefix [5]byte
	in     bytes.Reader
	dst    sink
	out    mem.BufferSlice
	plain  *grpc.PreparedMsg // see write
}

type streamKey struct{}

// Value implements [context.Context].
func (s *stream) Value(key any) any {
	if key == (streamKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// tap is called by the goroutine that reads the connection, for the header block
// that it was given last.
func (c *conn) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	s := &stream{Context: ctx, conn: c, id: c.current, header: info.Header}
	if c.flags&flagEndStream == 0 && ctx.Err() == nil {
		c.begin(s)
	}
	return s, nil
}

// alive tells that some of the request has come.
func (s *stream) alive() {
	if call := s.live.Load(); call != nil {
		call.Alive()
	}
}

// handle serves one call.
func (c *conn) handle(_ any, ss grpc.ServerStream) error {
	ctx := ss.Context()
	s, _ := ctx.Value(streamKey{}).(*stream)
	ts := grpc.ServerTransportStreamFromContext(ctx)
	raw, ok := ts.(transport)
	if s == nil || !ok {
		return errVersion
	}
	defer c.finish(s)
	s.grpc, s.raw = ss, raw
	s.call = c.Call(ctx, ts.Method())
	s.live.Store(s.call)
	s.describe()
	if s.codec == nil {
		return status.Errorf(codes.Unimplemented, "the server has no codec %q", s.info.Codec)
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit: grpc-go would never end the stream
			_ = raw.WriteStatus(statusOf(s.call.Gone()))
		}
	}()
	err := s.call.Serve(&s.info, s)
	returned = true
	s.close()
	if err != nil {
		return statusOf(err).Err()
	}
	return nil
}

// describe fills in what is known of the call before it begins.
func (s *stream) describe() {
	spec := s.call.Spec()
	s.most, s.mostOut = s.call.MaxReceiveBytes(), s.call.MaxSendBytes()
	s.unary = spec.StreamType&connect.StreamTypeServer == 0
	s.streamed = spec.StreamType&connect.StreamTypeClient != 0 || !s.call.Known()
	contentType := first(s.header, "content-type")
	name, _ := codecOf(contentType)
	s.codec = s.conn.Codec(name)
	info := &s.info
	info.Spec, info.Protocol, info.Codec = spec, connect.ProtocolNameGRPC, name
	info.PeerAddr, info.TransportInfo = s.conn.peer, s.conn.EngineConn
	requestHeader(info.RequestHeader(), s.header)
	s.compression()
}

// Receive implements [connect.ServerStream]. Where a request is one message it
// waits for its end, and says when it is not.
func (s *stream) Receive(msg any) error {
	if s.streamed {
		return s.receive(msg)
	}
	if s.received {
		return io.EOF
	}
	s.received = true
	if err := s.receive(msg); errors.Is(err, io.EOF) {
		return connect.NewError(connect.CodeUnimplemented, "unary request has zero messages")
	} else if err != nil {
		return err
	}
	switch err := s.raw.ReadMessageHeader(s.prefix[:]); {
	case err == nil:
		return connect.NewError(connect.CodeUnimplemented, "unary request has multiple messages")
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return incomplete(err)
	default:
		return s.gone(err)
	}
}

func incomplete(err error) error {
	return connect.Errorf(connect.CodeInternal, "protocol error: incomplete envelope: %s", err).WithCause(err)
}

// receive receives one message.
func (s *stream) receive(msg any) error {
	if err := s.raw.ReadMessageHeader(s.prefix[:]); err != nil {
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case errors.Is(err, io.ErrUnexpectedEOF):
			return incomplete(err)
		}
		return s.gone(err)
	}
	size := int64(binary.BigEndian.Uint32(s.prefix[1:]))
	if s.most > 0 && size > int64(s.most) {
		return connect.Errorf(connect.CodeResourceExhausted, "message size %d is larger than configured max %d", size, s.most)
	}
	s.call.Received(len(s.prefix))
	flags := s.prefix[0]
	if flags&1 != 0 && s.request == nil {
		return connect.NewError(connect.CodeInternal, "protocol error: sent compressed message without compression support")
	}
	if flags > 1 {
		return connect.Errorf(connect.CodeInternal, "protocol error: invalid envelope flags %d", flags)
	}
	s.info.ReceiveStats = connect.MessageStats{}
	if size == 0 {
		return nil
	}
	data, err := s.raw.Read(int(size))
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return connect.Errorf(connect.CodeInternal, "protocol error: promised %d bytes in enveloped message, got less", size).
				WithCause(io.ErrUnexpectedEOF)
		}
		return s.gone(err)
	}
	defer data.Free()
	s.call.Received(int(size))
	return s.decode(data, flags == 1, msg)
}

// decode decodes one message.
func (s *stream) decode(data mem.BufferSlice, compressed bool, msg any) error {
	var whole []byte
	if len(data) == 1 {
		whole = data[0].ReadOnlyData()
	} else {
		joined := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer joined.Free()
		whole = joined.ReadOnlyData()
	}
	stats := connect.MessageStats{Size: len(whole)}
	if compressed {
		inflated, err := s.inflate(whole)
		if err != nil {
			return err
		}
		stats = connect.MessageStats{Size: len(inflated), CompressedSize: len(whole)}
		whole = inflated
	}
	s.in.Reset(whole)
	defer s.in.Reset(nil)
	if err := s.codec.UnmarshalRead(s, &s.in, msg); err != nil {
		return connect.Errorf(connect.CodeInvalidArgument, "unmarshal message: %s", err).WithCause(err)
	}
	s.info.ReceiveStats = stats
	return nil
}

// SendHeaders implements [connect.ServerStream].
func (s *stream) SendHeaders() error {
	if s.begun || s.unary { // a unary answer has its header with the message, or the error
		return nil
	}
	s.compressUnknown()
	s.begun = true
	if err := s.raw.SendHeader(responseHeader(s.info.ResponseHeader())); err != nil {
		return s.gone(err)
	}
	return nil
}

// Send implements [connect.ServerStream].
func (s *stream) Send(msg any) error {
	s.dst.free() // what a panic left there
	before := s.dst.room
	if err := s.codec.MarshalWrite(s, &s.dst, msg); err != nil {
		s.dst.free()
		return connect.Errorf(connect.CodeInternal, "marshal message: %s", err).WithCause(err)
	}
	size := len(s.dst.b)
	if s.mostOut > 0 && size > s.mostOut && !s.fits(s.dst.b) {
		s.dst.free()
		return connect.Errorf(connect.CodeResourceExhausted, "message size %d exceeds sendMaxBytes %d", size, s.mostOut)
	}
	if !s.begun {
		s.compressFirst(size)
		s.begun = true
		if err := s.raw.SetHeader(responseHeader(s.info.ResponseHeader())); err != nil {
			s.dst.free()
			return s.gone(err)
		}
	}
	s.out = s.dst.take()
	if err := s.write(size, before); err != nil {
		return s.gone(err)
	}
	s.info.SendStats = connect.MessageStats{Size: size}
	s.given = true
	s.call.Sent(len(s.prefix) + size)
	return nil
}

// Interrupt implements [connectum.EngineStream].
func (s *stream) Interrupt(receive, send bool) { s.conn.interrupt(s.id, receive, send) }

// close sends what stands around the messages, if it has not been sent.
func (s *stream) close() {
	if !s.begun {
		_ = s.raw.SetHeader(responseHeader(s.info.ResponseHeader()))
	}
	if s.info.ResponseTrailer().Len() > 0 {
		_ = s.raw.SetTrailer(responseHeader(s.info.ResponseTrailer()))
	}
}

// gone tells the end of a call that its client, its deadline or its connection
// has ended.
func (s *stream) gone(err error) error {
	if end := s.Err(); end != nil {
		return end
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return connect.Errorf(connect.CodeUnknown, "%s", err).WithCause(err)
}
