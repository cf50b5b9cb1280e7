//go:build only

package main

import (
	"fmt"
	"log"
	"net"
	"slices"
)

// A program that holds one contender and nothing of the benchmark: what its
// users would build. Its size and its start are measured.
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(alone().serve(l))
}

// alone returns the contender that the binary is built for. Its file may hold
// others too, which differ by their settings.
func alone() contender {
	i := slices.IndexFunc(contenders, func(c contender) bool { return c.tag != "" })
	return contenders[i]
}
