//go:build !only && !light && unix

package main

import (
	"time"

	"github.com/zeromicro/go-zero/core/proc"
)

func init() {
	members = append(members, member{"go-zero", "`zrpc.NewServer(...).Start()`: it handles SIGTERM.", byGRPC, memberGoZero})
	beforeMember = func(name string) {
		if name != "go-zero" { // which would end every process that links it 5.5 s after SIGTERM
			proc.SetTimeToForceQuit(time.Hour)
		}
	}
}

func memberGoZero() error {
	l, err := listen()
	if err != nil {
		return err
	}
	return serveGoZero(l, grpcService{work})
}
