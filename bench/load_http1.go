//go:build !only && unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

// http1Caller calls by Connect over one HTTP/1.1 connection, with no more of
// HTTP than that takes: net/http's client would cost more than most servers.
type http1Caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	json    bool
	text    string
	body    []byte
}

func dialHTTP1(addr, encoding, text string) (*http1Caller, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	req := &benchv1.EchoRequest{Text: text}
	body, err := proto.Marshal(req)
	if encoding == "json" {
		body, err = protojson.Marshal(req)
	}
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %sEcho HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nConnect-Protocol-Version: 1\r\nContent-Type: application/%s\r\nContent-Length: %d\r\n\r\n",
		service, addr, encoding, len(body))
	return &http1Caller{conn: conn, in: bufio.NewReader(conn), request: append([]byte(head), body...), json: encoding == "json", text: text}, nil
}

func (c *http1Caller) close() { _ = c.conn.Close() }

func (c *http1Caller) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answered %q", line)
		}
		line = bytes.TrimSuffix(line, []byte("\r\n"))
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without Content-Length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return err
	}
	var res benchv1.EchoResponse
	unmarshal := proto.Unmarshal
	if c.json {
		unmarshal = protojson.Unmarshal
	}
	if err := unmarshal(c.body, &res); err != nil {
		return err
	}
	if res.GetText() != c.text {
		return fmt.Errorf("answered %d bytes that are not those that were sent", len(res.GetText()))
	}
	return nil
}
