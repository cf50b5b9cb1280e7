package grpcnative

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc"
)

const gzipName = connect.CompressionNameGzip

// compression settles what the request is compressed with and what answers may
// be. Requests are decompressed by the server's own compressors. Answers are
// compressed by grpc-go, which knows gzip alone.
func (s *stream) compression() {
	sent := s.raw.RecvCompress()
	s.info.RequestEncoding, s.info.ResponseEncoding = connect.CompressionNameIdentity, connect.CompressionNameIdentity
	if sent != "" && sent != connect.CompressionNameIdentity {
		s.request = s.conn.Compressor(sent)
		s.info.RequestEncoding = sent
	}
	if !s.conn.DefaultGzip() {
		return
	}
	if sent == gzipName {
		s.gzip = true
	} else {
		for _, values := range s.header["grpc-accept-encoding"] {
			for name := range strings.FieldsFuncSeq(values, func(r rune) bool { return r == ',' || r == ' ' }) {
				s.gzip = s.gzip || name == gzipName
			}
		}
	}
	if s.gzip {
		s.info.ResponseEncoding = gzipName
	}
}

// compressFirst settles whether the stream is compressed, before its header is
// sent with a message of size bytes.
func (s *stream) compressFirst(size int) {
	switch {
	case s.gzip && s.unary && size < s.least(), !s.gzip && s.request != nil:
		s.use(connect.CompressionNameIdentity)
	case s.gzip:
		s.compressUnknown()
	}
}

// compressUnknown is compressFirst where there is no message yet, or more than
// one may come.
func (s *stream) compressUnknown() {
	if s.gzip && s.use(gzipName) {
		s.twice = s.request == nil // else grpc-go compresses all of them
	} else if s.request != nil {
		s.use(connect.CompressionNameIdentity)
	}
}

// use has the answers compressed, or not. grpc-go does what the request did
// unless it is told.
func (s *stream) use(name string) bool {
	if s.raw.RecvCompress() == name || s.request == nil && name == connect.CompressionNameIdentity {
		return true
	}
	return grpc.SetSendCompressor(s.grpc.Context(), name) == nil
}

func (s *stream) least() int { return max(s.conn.engine.limits().CompressMinBytes, 0) }

// write sends s.out, a message of size bytes that was put into the room that was
// left before.
func (s *stream) write(size int, before room) error {
	if s.twice && size < s.least() {
		// What is prepared is prepared as the request was: without compression.
		if s.plain == nil {
			s.plain = new(grpc.PreparedMsg)
		}
		if err := s.plain.Encode(s.grpc, s); err != nil {
			return err
		}
		s.dst.room.reuse(before)
		return s.grpc.SendMsg(s.plain)
	}
	return s.grpc.SendMsg(s)
}

// fits reports whether a message that is too large would not be if it is sent
// compressed.
func (s *stream) fits(message []byte) bool {
	if !s.gzip || len(message) < s.least() {
		return false
	}
	n := counter{most: s.mostOut}
	w, err := s.conn.Compressor(gzipName).Compress(&n)
	if err != nil {
		return false
	}
	_, err = w.Write(message)
	return w.Close() == nil && err == nil
}

// counter fails when too much is written to it.
type counter struct{ n, most int }

func (c *counter) Write(p []byte) (int, error) {
	if c.n += len(p); c.n > c.most {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

// inflate decompresses one message, within its limit.
func (s *stream) inflate(p []byte) ([]byte, error) {
	from, err := s.request.Decompress(bytes.NewReader(p))
	if err != nil {
		return nil, connect.Errorf(connect.CodeInvalidArgument, "get decompressor: %s", err).WithCause(err)
	}
	defer func() { _ = from.Close() }()
	r := io.Reader(from)
	if s.most > 0 {
		r = io.LimitReader(from, int64(s.most)+1)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		if made, ok := errors.AsType[*connect.Error](err); ok { // no room for it
			return nil, made
		}
		return nil, connect.Errorf(connect.CodeInvalidArgument, "decompress: %s", err).WithCause(err)
	}
	if s.most > 0 && out.Len() > s.most {
		return nil, connect.Errorf(connect.CodeResourceExhausted, "message is larger than configured max %d", s.most)
	}
	return out.Bytes(), nil
}
