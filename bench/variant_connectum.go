//go:build !only || connectum

package main

import (
	"net"

	"github.com/connectum-go/connectum"
)

func init() {
	contenders = append(contenders, contender{
		name: "connectum", tag: "connectum", connect: true,
		about:     "connectum.New(connectum.Config{}): recovery, masking, deadlines, every limit, stalls and graceful stop; no chain.",
		serve:     func(l net.Listener) error { return serveConnectum(l, connectum.Config{}) },
		inProcess: func() (func() error, error) { return inProcessConnectum(connectum.Config{}) },
	})
}
