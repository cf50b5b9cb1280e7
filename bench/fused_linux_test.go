//go:build !only

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"golang.org/x/sys/unix"

	"github.com/connectum-go/connectum"
	benchv1 "github.com/connectum-go/connectum/bench/internal/gen/bench/v1"
	"github.com/connectum-go/connectum/bench/internal/gen/bench/v1/benchv1connect"
	"github.com/connectum-go/connectum/interceptor"
)

// CPU of a unary call, or of a message, in-process, by the pieces and by the
// experiment: batches of a thousand in turn, of which the tenth percentile is told, as
// the machine bends that least.
func BenchmarkFused(b *testing.B) {
	tracer, meter := providers(0.01)
	chains := [][]connectum.Interceptor{
		interceptor.Defaults(interceptor.Config{Telemetry: telemetryLink(0.01), Log: &interceptor.LogConfig{Logger: nowhere()}}),
		{newFused(tracer, meter, nowhere())},
	}
	for _, kind := range []string{"unary", "stream", "bidi"} {
		b.Run(kind, func(b *testing.B) {
			var clients [2]benchv1connect.BenchServiceClient
			for i, chain := range chains {
				clients[i] = benchv1connect.NewBenchServiceClient(connect.NewClient(newConnectum(connectum.Config{Interceptors: chain}).Transport()))
			}
			var took [2][]float64
			for turn := 0; b.Loop(); turn++ {
				for k := range clients {
					i := (k + turn) % 2
					before := processCPU()
					if err := thousand(clients[i], kind); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], float64(processCPU()-before)/1000)
				}
			}
			var p10 [2]float64
			for i := range took {
				slices.Sort(took[i])
				p10[i] = took[i][len(took[i])/10]
			}
			b.ReportMetric(p10[0], "pieces-ns")
			b.ReportMetric(p10[1], "fused-ns")
			b.ReportMetric(p10[1]/p10[0], "fused/pieces")
		})
	}
}

// processCPU is in nanoseconds.
func processCPU() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return t.Nano()
}

// thousand makes a thousand calls, or a call of a thousand messages.
func thousand(c benchv1connect.BenchServiceClient, kind string) error {
	ctx, text := context.Background(), strings.Repeat("x", 30)
	switch kind {
	case "unary":
		for range 1000 {
			if _, err := c.Echo(ctx, &benchv1.EchoRequest{Text: text}); err != nil {
				return err
			}
		}
		return nil
	case "stream":
		s, err := c.Count(ctx, &benchv1.CountRequest{Text: text, Times: 1000})
		n := -1
		for ; err == nil; n++ {
			_, err = s.Receive()
		}
		if n != 1000 || !errors.Is(err, io.EOF) {
			return fmt.Errorf("%d messages: %w", n, err)
		}
		return nil
	}
	s, err := c.Chat(ctx)
	for n := 0; err == nil && n < 1000; n++ {
		if err = s.Send(&benchv1.ChatRequest{Text: text}); err == nil {
			_, err = s.Receive()
		}
	}
	if err != nil {
		return err
	}
	if err = s.CloseSend(); err == nil {
		if _, err = s.Receive(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	return err
}
