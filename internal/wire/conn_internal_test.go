package wire

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a net.Listener of pipes.
type pipes struct {
	net.Listener
	conns chan net.Conn
}

func (p *pipes) Accept() (net.Conn, error) { return <-p.conns, nil }
func (p *pipes) Close() error              { return nil }

// accepted returns a connection of l and the client's end of it.
func accepted(t *testing.T, l *Listener) (*Conn, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	l.Listener.(*pipes).conns <- here
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn), there
}

func pipeListener(cfg Config) *Listener {
	return Listen(&pipes{conns: make(chan net.Conn, 1)}, cfg)
}

func TestConnectionsLeaveAtTheirAgeWithJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pipeListener(Config{MaxAge: 100 * time.Minute, AgeJitter: 0.1})
		var conns []*Conn
		for range 200 {
			c, _ := accepted(t, l)
			conns = append(conns, c)
		}
		leaving := func() (n int) {
			for _, c := range conns {
				if c.Leaving() {
					n++
				}
			}
			return n
		}
		for _, step := range []struct{ at, min, max int }{{90, 0, 0}, {100, 50, 150}, {110, 200, 200}} {
			time.Sleep(time.Duration(step.at)*time.Minute - time.Since(l.start))
			synctest.Wait()
			if n := leaving(); n < step.min || n > step.max {
				t.Errorf("after %d minutes %d are leaving", step.at, n)
			}
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

func TestAPeerThatStaysTenSecondsHasOverstayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pipeListener(Config{MaxAge: time.Minute})
		c, _ := accepted(t, l)
		defer c.Close()
		time.Sleep(time.Minute + overstay - time.Nanosecond)
		synctest.Wait()
		if !c.Leaving() || c.Overstayed() {
			t.Errorf("leaving %v, overstayed %v", c.Leaving(), c.Overstayed())
		}
		time.Sleep(time.Nanosecond)
		if !c.Overstayed() {
			t.Error("not overstayed")
		}
	})
}

func TestTheSweepEndsWithTheListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pipeListener(Config{})
		c, there := accepted(t, l)
		l.CloseNew(time.Minute)
		l.CloseIdle(time.Hour)
		time.Sleep(2 * time.Minute)
		if n, err := there.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("the silent connection was left open")
		}
		if !c.closed.Load() || l.Stats().Open != 0 {
			t.Errorf("%+v", l.Stats())
		}
		l.Close()
		time.Sleep(time.Hour)
		if l.mu.Lock(); l.sweep.timer.Stop() {
			t.Error("the sweep goes on for nothing")
		}
		l.mu.Unlock()
	})
}

func TestReadsBeyondThePrefaceAreFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := pipeListener(Config{Batch: true, GoAway: true, Meter: DefaultMeter()})
		c, there := accepted(t, l)
		want := preface + string(begin(3)) + "rest"
		go there.Write([]byte(want))
		var got []byte
		buf := make([]byte, 7)
		for len(got) < len(want) {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if string(got) != want || c.session.Load().last.Load() != 7 {
			t.Errorf("%q, stream %d", got, c.session.Load().last.Load())
		}
		c.Close()
		if _, err := c.Read(buf); err != net.ErrClosed {
			t.Error(err)
		}
		there.Close()
	})
}

// net/http hands over what fills its buffer, half a frame at times. A flood that
// is cut there is told so behind the other half, for which net/http must not yet
// see the end.
func TestAFloodIsToldBehindAWholeFrame(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c, there := accepted(t, pipeListener(Config{Batch: true, GoAway: true, Meter: DefaultMeter()}))
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(there)
				got <- b
			}()
			flood := []byte(preface)
			for range 2 * DefaultMeter().Pings {
				flood = append(flood, 0, 0, 8, framePing, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
			}
			go there.Write(flood)
			settings := []byte{0, 0, 6, frameSettings, 0, 0, 0, 0, 0, 0, settingMaxStreams, 0, 0, 0, 100}
			ended, began := make(chan struct{}), time.Now()
			go func() {
				defer close(ended)
				io.Copy(io.Discard, struct{ io.Reader }{c})
			}()
			synctest.Wait() // the preface has come
			c.Write(settings[:10])
			time.Sleep(closeWait / 2)
			want := slices.Concat(settings[:10])
			if whole {
				c.Write(settings[10:])
				want = appendGoAway(settings, 0, codeCalm)
			}
			<-ended
			if took := time.Since(began); whole != (took == closeWait/2) || took > closeWait {
				t.Errorf("net/http saw the end after %v", took)
			}
			c.Close()
			if b := <-got; !bytes.Equal(b, want) {
				t.Errorf("sent %v, want %v", b, want)
			}
		})
	}
}
