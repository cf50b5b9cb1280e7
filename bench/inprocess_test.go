//go:build !only && unix

package main

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect/v2/connectinprocess"

	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
)

// A unary call without a socket, the client's side included.
func BenchmarkInProcess(b *testing.B) {
	for _, name := range []string{"connect-v2", "connectum", "connectum-default", "connectum-log", "connectum-all", "connectum-all-buffered"} {
		b.Run(name, func(b *testing.B) {
			for _, c := range contenders {
				if c.name != name {
					continue
				}
				call, err := c.inProcess()
				if err != nil {
					b.Fatal(err)
				}
				spent(b, func() {
					if err := call(); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

// What parts of a call cost alone on the same machine.
func BenchmarkYardstick(b *testing.B) {
	b.Run("clock", func(b *testing.B) {
		spent(b, func() { _ = time.Now() })
	})
	for name, log := range map[string]*slog.Logger{"line": nowhere(), "collected": collected()} { // that of the access log
		b.Run(name, func(b *testing.B) {
			log := log.With("procedure", "/bench.v1.BenchService/Echo", "door", "inproc")
			ctx := context.Background()
			spent(b, func() {
				log.LogAttrs(ctx, slog.LevelInfo, "call", slog.String("code", "ok"), slog.Duration("duration", 1234))
			})
		})
	}
	b.Run("write", func(b *testing.B) { // the system call of that line
		f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		line := make([]byte, 150)
		spent(b, func() { _, _ = f.Write(line) })
	})
	b.Run("copies", func(b *testing.B) { // of the messages, as Connect's transport makes them
		req, res := &benchv1.EchoRequest{Text: "Ada"}, &benchv1.EchoResponse{Text: "Ada"}
		spent(b, func() {
			_ = connectinprocess.ProtoCopy(new(benchv1.EchoRequest), req)
			_ = connectinprocess.ProtoCopy(new(benchv1.EchoResponse), res)
		})
	})
}

// spent also tells the CPU time of the process, which a busy machine bends less.
func spent(b *testing.B, f func()) {
	b.ReportAllocs()
	before := used()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(used().CPU-before.CPU)/float64(b.N), "cpu-ns/op")
}
