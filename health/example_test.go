package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/health"
)

// A dependency that is down makes the server not ready, which keeps calls away
// from it; it stays alive, so that nobody restarts what a restart won't heal.
func Example() {
	srv := connectum.New(connectum.Config{Addr: "localhost:0", Logger: slog.New(slog.DiscardHandler)})
	checks := health.Register(srv)
	checks.Add("database", func(context.Context) error { return errors.New("connection refused") })
	checks.Add("search", func(context.Context) error { return nil }, health.NonCritical())

	ctx, stop := context.WithCancel(context.Background())
	srv.OnReady(func(_ context.Context, addr net.Addr) {
		defer stop()
		for _, path := range []string{"/livez", "/readyz", "/readyz?service=nobody"} {
			res, err := http.Get("http://" + addr.String() + path)
			if err != nil {
				fmt.Println(err)
				return
			}
			res.Body.Close()
			fmt.Println(path, res.StatusCode)
		}
	})
	if err := srv.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// /livez 200
	// /readyz 503
	// /readyz?service=nobody 404
}

// A worker without services says what it does as a component.
func ExampleChecker_Set() {
	srv := connectum.New(connectum.Config{})
	checks := health.Register(srv)
	if err := checks.Set("consumer", health.Unknown); err != nil {
		fmt.Println(err)
	}
	fmt.Println(checks.Status("consumer"))

	// Connected to the broker:
	if err := checks.Set("consumer", health.Serving); err != nil {
		fmt.Println(err)
	}
	fmt.Println(checks.Status("consumer"))
	// Output:
	// UNKNOWN true
	// SERVING true
}

func ExampleChecker_Add() {
	srv := connectum.New(connectum.Config{Addr: "localhost:0", Logger: slog.New(slog.DiscardHandler)})
	checks := health.Register(srv)
	checks.Add("cache", func(context.Context) error { return nil }, health.NonCritical(),
		health.WithSchedule(health.Schedule{Failures: 2}))
	fmt.Println(checks.Status("cache")) // not probed yet
	// Output:
	// NOT_SERVING true
}
