//go:build !only || grpcgo

package main

import (
	"net"

	"google.golang.org/grpc"
)

func init() {
	contenders = append(contenders, contender{
		name: "grpc-go", tag: "grpcgo",
		about: "grpc-go with nothing around it: a panic ends the process, streams are not limited.",
		serve: func(l net.Listener) error {
			s := grpc.NewServer()
			registerGRPC(s, grpcService{})
			return s.Serve(l)
		},
	})
}
