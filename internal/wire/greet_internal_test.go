package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func rawFrame(kind, flags byte, stream uint32, payload ...byte) []byte {
	n := len(payload)
	out := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(out, stream), payload...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var (
	settingsFrame = rawFrame(frameSettings, 0, 0, 0, 4, 0, 1, 0, 0)
	ackFrame      = rawFrame(frameSettings, flagAck, 0)
	windowFrame   = rawFrame(frameWindow, 0, 0, 0, 1, 0, 0)
	pingFrame     = rawFrame(framePing, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
)

const blockText = "a header block"

// greeted greets a peer that says what is given, in pieces, and returns the block,
// what is then read from the connection, and what the peer heard meanwhile.
func greeted(t *testing.T, said []byte, piece int) (block, read, heard []byte, err error) {
	t.Helper()
	a, b := net.Pipe()
	l := Listen(nil, Config{Meter: DefaultMeter(), Batch: true, GoAway: true})
	c := l.newConn(a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		heard, _ = io.ReadAll(b)
	}()
	go func() {
		for rest := said; len(rest) > 0; {
			n, err := b.Write(rest[:min(piece, len(rest))])
			if rest = rest[n:]; err != nil {
				return
			}
		}
	}()
	block, err = c.Greet(Greeting{Begin: time.Second, Idle: time.Minute, MaxHeaderBytes: 1 << 10, MaxStreams: 7})
	if err == nil {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		read, _ = io.ReadAll(c)
	}
	time.Sleep(time.Second) // by the fake clock: the queue is empty
	_ = c.Close()
	<-done
	return block, read, heard, err
}

// What the first request is is found however it comes, and whoever serves the
// connection reads what came, less what was answered.
func TestGreetFindsTheFirstRequest(t *testing.T) {
	t.Parallel()
	headers := rawFrame(frameHeaders, flagEndHeaders|flagEndStream, 1, []byte(blockText)...)
	for name, test := range map[string]struct {
		said, read []byte
		block      string
	}{
		"at once":      {join([]byte(preface), settingsFrame, windowFrame, headers), join([]byte(preface), settingsFrame, windowFrame, headers), blockText},
		"acknowledged": {join([]byte(preface), settingsFrame, ackFrame, headers, pingFrame), join([]byte(preface), settingsFrame, headers, pingFrame), blockText},
		"acknowledged late": {join([]byte(preface), settingsFrame, headers, windowFrame, ackFrame, pingFrame, ackFrame),
			join([]byte(preface), settingsFrame, headers, windowFrame, pingFrame, ackFrame), blockText},
		"after a PING": {join([]byte(preface), settingsFrame, pingFrame, headers), join([]byte(preface), settingsFrame, headers), blockText},
		"in parts": {join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, []byte(blockText[:3])...), rawFrame(frameContinuation, flagEndHeaders, 1, []byte(blockText[3:])...)),
			join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, []byte(blockText[:3])...), rawFrame(frameContinuation, flagEndHeaders, 1, []byte(blockText[3:])...)), blockText},
		"padded": {join([]byte(preface), settingsFrame, rawFrame(frameHeaders, flagEndHeaders|flagPadded|flagPriority, 1, append(append([]byte{2, 0, 0, 0, 0, 9}, blockText...), 0, 0)...)),
			join([]byte(preface), settingsFrame, rawFrame(frameHeaders, flagEndHeaders|flagPadded|flagPriority, 1, append(append([]byte{2, 0, 0, 0, 0, 9}, blockText...), 0, 0)...)), blockText},
		"HTTP/1.1":           {[]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), ""},
		"begins like HTTP/2": {[]byte("PRINT / HTTP/1.1\r\n\r\n"), []byte("PRINT / HTTP/1.1\r\n\r\n"), ""},
		"no SETTINGS":        {join([]byte(preface), headers), join([]byte(preface), headers), ""},
		"DATA first":         {join([]byte(preface), settingsFrame, rawFrame(frameData, 0, 1, 1)), join([]byte(preface), settingsFrame, rawFrame(frameData, 0, 1, 1)), ""},
		"broken block":       {join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, 1), windowFrame), join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, 1), windowFrame), ""},
		"a block too large": {join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, make([]byte, 16<<10)...), rawFrame(frameContinuation, 0, 1, make([]byte, 16<<10)...), rawFrame(frameContinuation, 0, 1, make([]byte, 4<<10)...)),
			join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, make([]byte, 16<<10)...), rawFrame(frameContinuation, 0, 1, make([]byte, 16<<10)...), rawFrame(frameContinuation, 0, 1, make([]byte, 4<<10)...)), ""},
	} {
		for _, piece := range []int{1, 5, 1 << 20} {
			synctest.Test(t, func(t *testing.T) {
				block, read, heard, err := greeted(t, test.said, piece)
				if err != nil || string(block) != test.block {
					t.Errorf("%s in pieces of %d: block %q, %v", name, piece, block, err)
				}
				if !bytes.Equal(read, test.read) {
					t.Errorf("%s in pieces of %d: read\n%x\nwant\n%x", name, piece, read, test.read)
				}
				if test.block == "" {
					return
				}
				want := join(rawFrame(frameSettings, 0, 0, 0, 3, 0, 0, 0, 7, 0, 6, 0, 0, 4, 0), ackFrame)
				if !bytes.HasPrefix(heard, want) {
					t.Errorf("%s in pieces of %d: the peer heard\n%x\nwant\n%x", name, piece, heard, want)
				}
			})
		}
	}
}

// A peer that waits for the server's SETTINGS gets them, its PINGs are answered,
// and what the one who serves the connection acknowledges is not told twice.
func TestGreetLetsAPeerWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := Listen(nil, Config{Meter: DefaultMeter(), Batch: true, GoAway: true}).newConn(a)
		block := make(chan []byte, 1)
		go func() {
			got, err := c.Greet(Greeting{Begin: time.Second, Idle: time.Hour, MaxHeaderBytes: 1 << 10, MaxStreams: 7})
			if err != nil {
				t.Error(err)
			}
			block <- got
		}()
		say := func(p []byte) {
			t.Helper()
			if _, err := b.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		hear := func(want []byte) {
			t.Helper()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("heard %x, %v; want %x", got, err, want)
			}
		}
		say(join([]byte(preface), settingsFrame))
		hear(join(rawFrame(frameSettings, 0, 0, 0, 3, 0, 0, 0, 7, 0, 6, 0, 0, 4, 0), ackFrame))
		say(ackFrame)
		time.Sleep(10 * time.Minute)
		say(pingFrame)
		hear(rawFrame(framePing, flagAck, 0, 1, 2, 3, 4, 5, 6, 7, 8))
		say(rawFrame(frameHeaders, flagEndHeaders, 1, []byte(blockText)...))
		if got := <-block; string(got) != blockText {
			t.Errorf("block %q", got)
		}
		for _, cut := range []int{3, 100} { // whole, and torn within the acknowledgement
			out := join(settingsFrame, windowFrame)
			if cut == 3 {
				out = join(out, ackFrame)
			}
			for len(out) > 0 {
				n := min(cut, len(out))
				if k, err := c.Write(out[:n]); err != nil || k != n {
					t.Fatal(k, err)
				}
				out = out[n:]
			}
			hear(join(settingsFrame, windowFrame))
		}
		if _, err := c.Write(ackFrame); err != nil { // of SETTINGS that came later
			t.Fatal(err)
		}
		hear(ackFrame)
		_ = b.Close()
		_ = c.Close()
		time.Sleep(2 * time.Second)
	})
}

func TestGreetIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		said []byte
		want time.Duration
	}{
		"silence":        {nil, time.Second},
		"half a preface": {[]byte(preface[:9]), time.Second},
		"no request":     {join([]byte(preface), settingsFrame), time.Minute},
		"half a header":  {join([]byte(preface), settingsFrame, []byte{0, 0, 9, 1}), time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, _, _, err := greeted(t, test.said, 1<<20)
			var late net.Error
			if took := time.Since(began) - time.Second; !errors.As(err, &late) || !late.Timeout() || took != test.want {
				t.Errorf("%s: %v after %v, want %v", name, err, took, test.want)
			}
		})
	}
}

// A peer who only PINGs, in pieces, has no more time for its first request than one
// who says nothing.
func TestGreetIsBoundedForAPeerThatPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		l := Listen(nil, Config{Meter: DefaultMeter(), Batch: true, GoAway: true})
		c := l.newConn(a)
		go func() { _, _ = io.Copy(io.Discard, b) }()
		go func() {
			_, err := b.Write(join([]byte(preface), settingsFrame))
			for err == nil {
				time.Sleep(20 * time.Second)
				if _, err = b.Write(pingFrame[:5]); err == nil {
					_, err = b.Write(pingFrame[5:])
				}
			}
		}()
		began := time.Now()
		time.AfterFunc(time.Hour, func() { _ = b.Close() }) // or it would go on for ever
		block, err := c.Greet(Greeting{Begin: time.Second, Idle: time.Minute, MaxHeaderBytes: 1 << 10, MaxStreams: 7})
		if took := time.Since(began); err == nil || took != time.Minute {
			t.Errorf("%q, %v after %v, want an error after a minute", block, err, took)
		}
		_ = c.Close()
		_ = b.Close()
		time.Sleep(time.Hour)
	})
}
