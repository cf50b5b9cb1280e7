//go:build (!only && !light) || gozero

package main

import (
	"io"
	"net"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
)

func init() {
	logx.DisableStat() // else every process that links it tells its use of the CPU each minute
	contenders = append(contenders, contender{
		name: "go-zero", tag: "gozero",
		about: "go-zero's zrpc server as it comes: tracing without an exporter, Prometheus metrics, statistics, recovery, breaker, deadline of two seconds; its log is discarded and load shedding off, so that an overloaded machine is not refused by it.",
		serve: func(l net.Listener) error { return serveGoZero(l, grpcService{}) },
	})
}

// serveGoZero gives go-zero the address of l, as it listens by itself.
func serveGoZero(l net.Listener, service grpcService) error {
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	logx.SetWriter(logx.NewWriter(io.Discard))
	var cfg zrpc.RpcServerConf
	if err := conf.LoadFromJsonBytes([]byte(`{"Name":"bench","ListenOn":"`+addr+`","CpuThreshold":0,"Log":{"Stat":false}}`), &cfg); err != nil {
		return err
	}
	s, err := zrpc.NewServer(cfg, func(s *grpc.Server) { registerGRPC(s, service) })
	if err != nil {
		return err
	}
	s.Start()
	return nil
}
