//go:build !only || connect1 || connect2 || connectglue

package main

import (
	"net"
	"net/http"
)

// serveHTTP serves HTTP/1.1 and HTTP/2 in plaintext.
func serveHTTP(l net.Listener, h http.Handler) error { return httpServer(h).Serve(l) }

func httpServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: h, Protocols: protocols}
}
