package wire

import (
	"bytes"
	"testing"
	"testing/synctest"
)

// However the first bytes of a peer are cut into pieces, they are recognised as
// the same, and whoever serves the connection reads the same.
func FuzzGreet(f *testing.F) {
	block := rawFrame(frameHeaders, flagEndHeaders, 1, []byte(blockText)...)
	for _, said := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("PRI * HTTP/1.1\r\n\r\n"), []byte(preface), []byte(preface[:10]), {0x16, 3, 1, 2, 0}, {},
		join([]byte(preface), settingsFrame, block),
		join([]byte(preface), settingsFrame, ackFrame, windowFrame, pingFrame, block, pingFrame),
		join([]byte(preface), settingsFrame, rawFrame(frameHeaders, 0, 1, []byte(blockText[:5])...), rawFrame(frameContinuation, flagEndHeaders, 1, []byte(blockText[5:])...)),
		join([]byte(preface), settingsFrame, rawFrame(frameHeaders, flagEndHeaders|8, 1, 200, 'x')), // more padding than payload
		join([]byte(preface), block),
		join([]byte(preface), settingsFrame, rawFrame(0xfa, 0, 0, 1, 2, 3), block),
		join([]byte(preface), settingsFrame, rawFrame(frameContinuation, flagEndHeaders, 1, 1)),
		join([]byte(preface), []byte{0xff, 0xff, 0xff, frameHeaders, 0, 0, 0, 0, 1}),
	} {
		f.Add(said, uint8(1))
		f.Add(said, uint8(40))
	}
	f.Fuzz(func(t *testing.T, said []byte, piece uint8) {
		if len(said) > 1<<10 {
			return
		}
		type result struct {
			block, read []byte
			ok          bool
		}
		one := func(piece int) (r result) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				r.block, r.read, _, err = greeted(t, said, piece)
				r.ok = err == nil
			})
			return r
		}
		whole, cut := one(len(said)+1), one(int(piece)+1)
		if whole.ok != cut.ok || !bytes.Equal(whole.block, cut.block) || !bytes.Equal(whole.read, cut.read) {
			t.Errorf("in one go %q, %q, %v; in pieces %q, %q, %v", whole.block, whole.read, whole.ok, cut.block, cut.read, cut.ok)
		}
		if whole.ok && whole.block == nil && !bytes.HasPrefix(said, []byte(preface)) && !bytes.Equal(whole.read, said) {
			t.Errorf("of what is not HTTP/2 %q is read", whole.read)
		}
	})
}
