package grpcnative_test

import (
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

func one(text string) attack.Frame {
	return message(0, attack.EndStream, &testv1.GetRequest{Text: text})
}

// get is a sound call but for its head.
func get(more ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		body := one("hi")
		body.Stream = stream
		p.send(p.post(stream, getPath, grpcType, more...), body)
	}
}

// head is a call that has this head.
func head(pairs ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		body := one("hi")
		body.Stream = stream
		p.send(p.headers(stream, 0, pairs...), body)
	}
}

// bare is a head alone, and bareGet that of a sound call but for what is more. After
// a head that is malformed net/http ends the connection for the message, and the reset
// comes before that or not.
func bare(pairs ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) { p.send(p.headers(stream, attack.EndStream, pairs...)) }
}

func bareGet(more ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		f := p.post(stream, getPath, grpcType, more...)
		f.Flags |= attack.EndStream
		p.send(f)
	}
}

// path is a call of that path.
func path(path, contentType string, more ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		body := one("hi")
		body.Stream = stream
		p.send(p.post(stream, path, contentType, more...), body)
	}
}

// data is a call of a procedure with that request.
func data(path string, body []byte, more ...string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		p.send(p.post(stream, path, grpcType, more...), attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream, Payload: body})
	}
}

func echo(text string) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		p.send(p.post(stream, echoPath, grpcType), message(stream, attack.EndStream, &testv1.EchoRequest{Text: text}))
	}
}

// frames is a sound call with frames before its message.
func frames(f func(stream uint32) []attack.Frame) func(p *peer, stream uint32) {
	return func(p *peer, stream uint32) {
		body := one("hi")
		body.Stream = stream
		p.send(append(append([]attack.Frame{p.post(stream, getPath, grpcType)}, f(stream)...), body)...)
	}
}

func settings(pairs ...uint32) attack.Frame {
	f := attack.Frame{Kind: attack.Settings}
	for i := 0; i < len(pairs); i += 2 {
		f.Payload = append(f.Payload, 0, byte(pairs[i]), byte(pairs[i+1]>>24), byte(pairs[i+1]>>16), byte(pairs[i+1]>>8), byte(pairs[i+1]))
	}
	return f
}

func window(stream, n uint32) attack.Frame {
	return attack.Frame{Kind: attack.Window, Stream: stream, Payload: []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}}
}

func envelope(flag byte, text string) []byte {
	whole := one(text).Payload
	whole[0] = flag
	return whole
}

const priority, streamClosed = 2, 5

var odds = map[string]odd{
	"a sound call":                   {say: get()},
	"an unknown service":             {say: path("/none.Service/None", grpcType)},
	"an unknown method":              {say: path(service+"None", grpcType)},
	"a path without a method":        {say: path("/connectum.test.v1.TestService", grpcType)},
	"a path that ends in a slash":    {say: path(getPath+"/", grpcType)},
	"a path of two slashes":          {say: path("/"+getPath, grpcType)},
	"a path without a slash":         {say: path("connectum.test.v1.TestService/Get", grpcType)},
	"a path that is escaped":         {say: path("/connectum.test.v1.TestService/%47et", grpcType)},
	"a path with a query":            {say: path(getPath+"?a=b", grpcType)},
	"an empty path":                  {say: path("", grpcType)},
	"a wrong subtype":                {say: path(getPath, grpcType+"+thrift"), native: []string{`:status="200" content-type="application/grpc+thrift" grpc-message="the server has no codec \"thrift\"" grpc-status="12"; data ""; connection lives`}, later: true},
	"an empty subtype":               {say: path(getPath, grpcType+"+")},
	"JSON for proto":                 {say: path(getPath, grpcType+"+json")},
	"a parameter of the type":        {say: path(getPath, grpcType+"; charset=utf-8")},
	"a parameter with a semicolon":   {say: path(getPath, grpcType+";a=b")},
	"an uppercase type":              {say: path(getPath, "Application/GRPC")},
	"an uppercase subtype":           {say: path(getPath, "application/grpc+PROTO")},
	"a type with a space":            {say: path(getPath, " "+grpcType)},
	"no type":                        {say: head(":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "te", "trailers"), native: []string{`:status="415" content-type="application/grpc" grpc-message="invalid gRPC request content-type \"\"" grpc-status="3"; data ""; connection lives`}, later: true},
	"no te":                          {say: head(":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType)},
	"another te":                     {say: head(":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType, "te", "gzip")},
	"no scheme":                      {say: head(":method", "POST", ":authority", "localhost", ":path", getPath, "content-type", grpcType), native: served("")},
	"another scheme":                 {say: head(":method", "POST", ":scheme", "ftp", ":authority", "localhost", ":path", getPath, "content-type", grpcType), native: served("")},
	"no method":                      {say: head(":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType)},
	"two methods":                    {say: bare(":method", "POST", ":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType)},
	"GET":                            {say: head(":method", "GET", ":scheme", "http", ":authority", "localhost", ":path", getPath, "content-type", grpcType), native: []string{`:status="405" content-type="application/grpc" grpc-message="Received a HEADERS frame with :method \"GET\" which should be POST" grpc-status="13"; data ""; connection lives`}, later: true},
	"no authority":                   {say: head(":method", "POST", ":scheme", "http", ":path", getPath, "content-type", grpcType)},
	"host for authority":             {say: head(":method", "POST", ":scheme", "http", ":path", getPath, "content-type", grpcType, "host", "localhost")},
	"host and authority":             {say: get("host", "other")},
	"two hosts":                      {say: get("host", "one", "host", "two")},
	"an odd authority":               {say: head(":method", "POST", ":scheme", "http", ":authority", "a b", ":path", getPath, "content-type", grpcType)},
	"an unknown pseudo field":        {say: bare(":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", getPath, ":odd", "x", "content-type", grpcType)},
	"a pseudo field at the end":      {say: bare(":method", "POST", ":scheme", "http", ":authority", "localhost", "content-type", grpcType, ":path", getPath)},
	"an uppercase name":              {say: bareGet("X-Upper", "x")},
	"a name with a space":            {say: bareGet("x upper", "x")},
	"a value with a line feed":       {say: bareGet("x-odd", "a\nb")},
	"a value with a NUL":             {say: bareGet("x-odd", "a\x00b")},
	"a value that is not ASCII":      {say: get("x-odd", "é")},
	"an empty value":                 {say: get("x-empty", "")},
	"spaces around a value":          {say: get("x-space", "  a  ")},
	"a field twice":                  {say: get("x-twice", "one", "x-twice", "two")},
	"binary":                         {say: get("x-raw-bin", "AAH/")},
	"binary with padding":            {say: get("x-raw-bin", "AAE="), native: []string{"AAE=", "AAE"}},
	"binary without padding":         {say: get("x-raw-bin", "AAE")},
	"binary twice":                   {say: get("x-raw-bin", "AAE", "x-raw-bin", "AQ")},
	"binary with several values":     {say: get("x-raw-bin", "AAE,AQ")},
	"empty binary":                   {say: get("x-raw-bin", "")},
	"binary that is none":            {say: get("x-raw-bin", "!!")},
	"binary with stray bits":         {say: get("x-raw-bin", "AAF"), native: []string{"AAF", "AAE"}},
	"connection":                     {say: get("connection", "close")},
	"transfer encoding":              {say: get("transfer-encoding", "chunked")},
	"a length that is right":         {say: get("content-length", "9")},
	"a length that is too small":     {say: get("content-length", "3"), native: served(`Content-Length=[\"3\"] `)},
	"a length that is too large":     {say: get("content-length", "99"), native: served(`Content-Length=[\"99\"] `)},
	"a length that is none":          {say: get("content-length", "x"), native: served(`Content-Length=[\"x\"] `)},
	"expectation":                    {say: get("expect", "100-continue")},
	"cookies":                        {say: get("cookie", "a=b", "cookie", "c=d")},
	"grpc fields that mean nothing":  {say: get("grpc-odd", "x", "grpc-status", "3", "grpc-message", "m", "grpc-trace-bin", "AAE", "grpc-tags-bin", "AAE", "grpc-previous-rpc-attempts", "2", "grpc-message-type", "t"), native: []string{`Grpc-Message-Type=[\"t\"] Grpc-Message=[\"m\"] `, "", `Grpc-Status=[\"3\"] `, ""}},
	"a user agent":                   {say: get("user-agent", "me/1")},
	"two types":                      {say: get("content-type", grpcType)},
	"a timeout":                      {say: get("grpc-timeout", "5S")},
	"the longest timeout":            {say: get("grpc-timeout", "99999999H")},
	"no time":                        {say: get("grpc-timeout", "0n"), native: []string{"the deadline of the call has passed", "context deadline exceeded"}},
	"no hours":                       {say: get("grpc-timeout", "00H"), native: []string{"the deadline of the call has passed", "context deadline exceeded"}},
	"a nanosecond":                   {say: get("grpc-timeout", "1n")},
	"a bad unit":                     {say: get("grpc-timeout", "1s")},
	"a negative timeout":             {say: get("grpc-timeout", "-1S")},
	"a signed timeout":               {say: get("grpc-timeout", "+1S")},
	"a timeout without digits":       {say: get("grpc-timeout", "S")},
	"an empty timeout":               {say: get("grpc-timeout", "")},
	"two timeouts":                   {say: get("grpc-timeout", "5S", "grpc-timeout", "7S")},
	"too much metadata":              {say: get("x-long", strings.Repeat("x", 40<<10))},
	"much metadata":                  {say: get("x-long", strings.Repeat("x", 14<<10))},
	"a percent in the status":        {say: echo("percent")},
	"a status that is not UTF-8":     {say: echo("not UTF-8"), native: []string{"a%FFb", "a%EF%BF%BDb"}},
	"details of 100 KB":              {say: echo("details")},
	"metadata of the answer":         {say: echo("metadata")},
	"metadata of an error":           {say: echo("metadata and an error")},
	"odd metadata of the answer":     {say: echo("odd metadata"), native: []string{"!!", "ISE"}},
	"odd metadata of an error":       {say: echo("odd metadata and an error"), native: []string{"!!", "ISE"}},
	"zero messages":                  {say: data(getPath, nil)},
	"zero messages to a stream":      {say: data(chatPath, nil)},
	"two messages":                   {say: data(getPath, append(envelope(0, "a"), envelope(0, "b")...))},
	"an empty message":               {say: data(getPath, []byte{0, 0, 0, 0, 0})},
	"half a prefix":                  {say: data(getPath, []byte{0, 0})},
	"half a message":                 {say: data(getPath, envelope(0, "hello")[:8]), native: []string{"got 3 bytes", "got less"}},
	"a message and half a prefix":    {say: data(getPath, append(envelope(0, "a"), 0, 0))},
	"half a prefix in a stream":      {say: data(chatPath, []byte{0, 0})},
	"half a message in a stream":     {say: data(chatPath, envelope(0, "hello")[:8]), native: []string{"got 3 bytes", "got less"}},
	"flag 2":                         {say: data(getPath, envelope(2, "a"))},
	"flag 2, empty":                  {say: data(getPath, []byte{2, 0, 0, 0, 0})},
	"flag 3":                         {say: data(getPath, envelope(3, "a"))},
	"flag 128":                       {say: data(getPath, envelope(128, "a"))},
	"flag 255":                       {say: data(getPath, envelope(255, "a"))},
	"flag 2 in a stream":             {say: data(chatPath, envelope(2, "a"))},
	"flag 2 of a later message":      {say: data(chatPath, append(envelope(0, "a"), envelope(2, "b")...))},
	"compressed without encoding":    {say: data(getPath, envelope(1, "a"))},
	"compressed as identity":         {say: data(getPath, envelope(1, "a"), "grpc-encoding", "identity")},
	"compressed, and empty":          {say: data(getPath, []byte{1, 0, 0, 0, 0}, "grpc-encoding", "gzip")},
	"compressed, empty, no encoding": {say: data(getPath, []byte{1, 0, 0, 0, 0})},
	"not compressed as gzip":         {say: data(getPath, envelope(0, "a"), "grpc-encoding", "gzip")},
	"identity":                       {say: data(getPath, envelope(0, "a"), "grpc-encoding", "identity")},
	"an empty encoding":              {say: data(getPath, envelope(0, "a"), "grpc-encoding", "")},
	"an unknown encoding":            {say: data(getPath, envelope(0, "a"), "grpc-encoding", "br"), native: []string{`unknown compression \"br\": supported encodings are gzip`, `grpc: Decompressor is not installed for grpc-encoding \"br\"`}, later: true},
	"encoding in uppercase":          {say: data(getPath, envelope(0, "a"), "grpc-encoding", "GZIP"), native: []string{`unknown compression \"GZIP\": supported encodings are gzip`, `grpc: Decompressor is not installed for grpc-encoding \"GZIP\"`}, later: true},
	"not gzip":                       {say: data(getPath, envelope(1, "a"), "grpc-encoding", "gzip")},
	"accepts nothing that is known":  {say: get("grpc-accept-encoding", "br, deflate")},
	"accepts gzip":                   {say: get("grpc-accept-encoding", "identity,gzip")},
	"accepts an empty list":          {say: get("grpc-accept-encoding", "")},
	"too large a message":            {say: data(getPath, []byte{0, 0xff, 0xff, 0xff, 0xff})},
	"the end is late": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType), message(stream, 0, &testv1.GetRequest{Text: "hi"}))
		synctest.Wait()
		time.Sleep(10 * time.Second)
		p.send(attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream})
	}},
	"the end never comes": {wait: 20 * time.Second, say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType), message(stream, 0, &testv1.GetRequest{Text: "hi"}))
	}},
	"the end comes with trailers": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType), message(stream, 0, &testv1.GetRequest{Text: "hi"}), p.headers(stream, attack.EndStream, "x-t", "v"))
	}},
	"the head is the end": {say: bareGet()},
	"trailers that do not end it": {say: func(p *peer, stream uint32) {
		body := one("hi")
		body.Stream = stream
		p.send(p.post(stream, getPath, grpcType), p.headers(stream, 0, "x-t", "v"), body)
	}},
	"cancel before the first byte": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType), attack.Frame{Kind: attack.Reset, Stream: stream, Payload: []byte{0, 0, 0, 8}})
	}},
	"cancel of a stream that runs": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, chatPath, grpcType))
		synctest.Wait()
		p.send(attack.Frame{Kind: attack.Reset, Stream: stream, Payload: []byte{0, 0, 0, 8}})
	}},
	"GOAWAY of the client": {lives: true, wait: 5 * time.Second, say: frames(func(uint32) []attack.Frame {
		return []attack.Frame{{Kind: attack.GoAway, Payload: make([]byte, 8)}}
	})},
	"a window of nothing for the stream": {say: frames(func(s uint32) []attack.Frame { return []attack.Frame{window(s, 0)} })},
	"a window of nothing":                {say: frames(func(uint32) []attack.Frame { return []attack.Frame{window(0, 0)} })},
	"a window that overflows":            {say: frames(func(s uint32) []attack.Frame { return []attack.Frame{window(s, 1<<31-1)} }), native: served("")},
	"settings on the way": {say: frames(func(uint32) []attack.Frame {
		return []attack.Frame{settings(4, 100), settings(1, 0), settings(5, 1<<20)}
	})},
	"settings of an odd length": {say: frames(func(uint32) []attack.Frame {
		return []attack.Frame{{Kind: attack.Settings, Payload: []byte{0, 4, 0}}}
	})},
	"unknown settings": {say: frames(func(uint32) []attack.Frame { return []attack.Frame{settings(99, 5)} })},
	"a window of zero, then some": {say: func(p *peer, stream uint32) {
		frames(func(uint32) []attack.Frame { return []attack.Frame{settings(4, 0)} })(p, stream)
		synctest.Wait()
		p.send(settings(4, 1<<20))
	}},
	"a window of zero": {wait: 40 * time.Second, say: frames(func(uint32) []attack.Frame { return []attack.Frame{settings(4, 0)} }), native: []string{"reset 2 reset 2", "reset 8"}},
	"padding and priority": {say: func(p *peer, stream uint32) {
		f, body := p.post(stream, getPath, grpcType), one("hi")
		f.Flags |= 8 | 32
		f.Payload = append(append([]byte{3, 0, 0, 0, 0, 1}, f.Payload...), 0, 0, 0)
		body.Stream, body.Flags = stream, body.Flags|8
		body.Payload = append(append([]byte{2}, body.Payload...), 0, 0)
		p.send(f, body)
	}},
	"more padding than there is": {say: func(p *peer, stream uint32) {
		f := p.post(stream, getPath, grpcType)
		f.Flags |= 8
		f.Payload = append([]byte{255}, f.Payload[:5]...)
		p.send(f)
	}},
	"data with too much padding": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType), attack.Frame{Kind: attack.Data, Flags: 8 | attack.EndStream, Stream: stream, Payload: []byte{9, 0}})
	}},
	"a head that depends on itself": {native: served(""), say: func(p *peer, stream uint32) {
		f, body := p.post(stream, getPath, grpcType), one("hi")
		f.Flags |= 32
		f.Payload = append([]byte{0, 0, 0, byte(stream), 1}, f.Payload...)
		body.Stream = stream
		p.send(f, body)
	}},
	"priority": {say: frames(func(s uint32) []attack.Frame {
		return []attack.Frame{{Kind: priority, Stream: s, Payload: []byte{0, 0, 0, 0, 9}}}
	})},
	"priority of an odd length": {say: frames(func(s uint32) []attack.Frame {
		return []attack.Frame{{Kind: priority, Stream: s, Payload: []byte{0}}}
	})},
	"a head in many frames": {say: func(p *peer, stream uint32) {
		f, body := p.post(stream, getPath, grpcType, "x-long", strings.Repeat("x", 50)), one("hi")
		var all []attack.Frame
		kind := byte(attack.Headers)
		for part := range slices.Chunk(f.Payload, len(f.Payload)/6+1) {
			all = append(all, attack.Frame{Kind: kind, Stream: stream, Payload: part})
			kind = attack.Continuation
		}
		all[len(all)-1].Flags = attack.EndHeaders
		body.Stream = stream
		p.send(append(all, body)...)
	}},
	"an even stream": {say: func(p *peer, stream uint32) { get()(p, stream+1) }},
	"the stream of a closed call": {lives: true, say: func(p *peer, stream uint32) {
		get()(p, stream)
		synctest.Wait()
		get()(p, stream)
	}},
	"data of a closed call": {say: func(p *peer, stream uint32) {
		get()(p, stream)
		synctest.Wait()
		p.send(attack.Frame{Kind: attack.Data, Stream: stream, Payload: []byte("x")})
	}},
	"data of a stream that never was": {native: served(""), later: true, say: func(p *peer, stream uint32) {
		p.send(attack.Frame{Kind: attack.Data, Stream: stream + 10, Payload: []byte("x")})
		get()(p, stream)
	}},
	"a reset of a stream that never was": {native: served(""), later: true, say: func(p *peer, stream uint32) {
		p.send(attack.Frame{Kind: attack.Reset, Stream: stream + 10, Payload: []byte{0, 0, 0, 8}})
		get()(p, stream)
	}},
	"PUSH_PROMISE": {native: served(""), say: frames(func(s uint32) []attack.Frame {
		return []attack.Frame{{Kind: 5, Flags: attack.EndHeaders, Stream: s, Payload: []byte{0, 0, 0, 2}}}
	})},
	"an unknown frame": {say: frames(func(s uint32) []attack.Frame { return []attack.Frame{{Kind: 0xfa, Stream: s, Payload: []byte("x")}} })},
	"PINGs below the limit": {say: func(p *peer, stream uint32) {
		for range 3 {
			p.send(attack.Frame{Kind: attack.Ping, Payload: []byte("01234567")})
			time.Sleep(2 * time.Second)
		}
		get()(p, stream)
	}},
	"a PING of an odd length": {say: frames(func(uint32) []attack.Frame { return []attack.Frame{{Kind: attack.Ping, Payload: []byte("0")}} })},
	"many settings": {say: func(p *peer, stream uint32) {
		for range 15 {
			p.send(attack.Frame{Kind: attack.Settings})
		}
		get()(p, stream)
	}},
	"a flood of settings": {say: func(p *peer, stream uint32) {
		for range 50 {
			if p.Send(attack.Frame{Kind: attack.Settings}) != nil {
				return
			}
		}
	}},
	"too large a frame": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, echoPath, grpcType))
		_ = p.Send(attack.Frame{Kind: attack.Data, Stream: stream, Payload: make([]byte, 20<<10)})
	}},
	"more than the window": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, sumPath, grpcType)) // which reads nothing
		for range 20 {
			if p.Send(attack.Frame{Kind: attack.Data, Stream: stream, Payload: make([]byte, 16<<10)}) != nil {
				return
			}
		}
	}},
	"data in single bytes": {say: func(p *peer, stream uint32) {
		p.send(p.post(stream, getPath, grpcType))
		for _, b := range one("hello").Payload {
			p.send(attack.Frame{Kind: attack.Data, Stream: stream, Payload: []byte{b}})
		}
		p.send(attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream})
	}},
}
