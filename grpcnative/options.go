package grpcnative

import (
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // grpc-go compresses by what is registered with it
	"google.golang.org/grpc/keepalive"

	"github.com/connectum-go/connectum"
)

// onceOptions are the options of every grpc.Server, made when the first
// connection comes: the limits are settled then.
type onceOptions struct {
	sync.Once
	options []grpc.ServerOption
}

// pingEvery is the shortest interval at which clients may PING a connection that
// carries nothing; each answer of the server makes the next PING free. No client
// of gRPC's own goes below 10 s.
const pingEvery = time.Second

// options returns what every limit of the server means to grpc-go, whose own
// defaults are no limits: it has 2^32-1 streams.
func (e *engine) options() []grpc.ServerOption {
	e.once.Do(func() {
		l := e.limits()
		e.once.options = []grpc.ServerOption{
			grpc.MaxConcurrentStreams(uint32(l.MaxConcurrentStreams)),
			grpc.MaxHeaderListSize(uint32(l.MaxHeaderBytes)),
			grpc.MaxRecvMsgSize(math.MaxInt32), // messages are read and bounded in stream.go
			grpc.MaxSendMsgSize(math.MaxInt32),
			grpc.StaticStreamWindowSize(int32(l.StreamBuffer)),
			grpc.StaticConnWindowSize(int32(l.ConnBuffer)),
			grpc.ConnectionTimeout(forEver(max(l.HeaderTimeout, 0) + max(l.HandshakeTimeout, 0))),
			grpc.KeepaliveParams(keepalive.ServerParameters{
				MaxConnectionIdle: forEver(l.IdleTimeout),
				Time:              forEver(l.PingInterval),
				Timeout:           forEver(l.PingTimeout),
			}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery, PermitWithoutStream: true}),
			grpc.ReadBufferSize(0), // conn.go reads ahead
			grpc.WriteBufferSize(32 << 10),
			grpc.ForceServerCodecV2(codec{}),
		}
	})
	return append(make([]grpc.ServerOption, 0, len(e.once.options)+2), e.once.options...)
}

// limits are the server's, which do not change.
func (e *engine) limits() *connectum.Limits {
	e.limited.Do(func() { e.bounds = e.server.Limits() })
	return &e.bounds
}

// forEver is d, or as good as none: a zero is grpc-go's own default.
func forEver(d time.Duration) time.Duration {
	if d <= 0 {
		return math.MaxInt64
	}
	return d
}

// single is the listener of one connection.
type single struct {
	conn     *conn
	accepted bool
	shut     chan struct{}
	once     sync.Once
}

// Accept implements [net.Listener]: the connection, then nothing until it ends
// or the listener is closed, which grpc-go does when it drains. It waits for the
// one thing: a select would take the stack of an idle connection from 4 KiB to 8.
func (l *single) Accept() (net.Conn, error) {
	if !l.accepted {
		l.accepted = true
		return l.conn, nil
	}
	<-l.shut
	return nil, net.ErrClosed
}

// Close implements [net.Listener]. The connection lives on; its end closes the
// listener too.
func (l *single) Close() error {
	l.once.Do(func() { close(l.shut) })
	return nil
}

// Addr implements [net.Listener].
func (l *single) Addr() net.Addr { return l.conn.LocalAddr() }
