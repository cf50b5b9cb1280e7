package wire

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Listener is a net.Listener whose connections are wired as its [Config] says.
// Its methods may be called from several goroutines.
type Listener struct {
	net.Listener
	cfg Config
}

// Listen returns a Listener over l.
func Listen(l net.Listener, cfg Config) *Listener { return &Listener{Listener: l, cfg: cfg} }

// ConnState keeps the register; assign it to http.Server.ConnState.
func (l *Listener) ConnState(c net.Conn, s http.ConnState) {}

// ConnContext lets FromContext find the connection of a request; assign it to http.Server.ConnContext.
func (l *Listener) ConnContext(ctx context.Context, c net.Conn) context.Context { return ctx }

// Drain asks every connection to leave, those accepted from now on included.
func (l *Listener) Drain() {}

// CloseNew closes, from now on, connections that have sent no request grace after they were accepted.
func (l *Listener) CloseNew(grace time.Duration) {}

// CloseIdle closes, from now on, connections that have been idle for grace.
func (l *Listener) CloseIdle(grace time.Duration) {}

// Stats returns the present figures.
func (l *Listener) Stats() Stats { return Stats{} }
