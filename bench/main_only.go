//go:build only

package main

import (
	"fmt"
	"log"
	"net"
)

// A program that holds one contender and nothing of the benchmark: what its
// users would build. Its size and its start are measured.
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(contenders[0].serve(l))
}
