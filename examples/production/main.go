// Command production is the program that every decision of the framework is
// tested against: two services, a database and a cache that are closed in
// their order, and nothing that a service in production can do without. A third
// service goes wrong, to show what clients see of it.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/debug"
	"github.com/connectum-go/connectum/examples/faults"
	"github.com/connectum-go/connectum/examples/gen/faults/v1/faultsv1connect"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/gen/orders/v1/ordersv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/examples/orders"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/interceptor"
	"github.com/connectum-go/connectum/reflection"
	"github.com/connectum-go/connectum/telemetry"
)

func main() {
	show := flag.String("print", "", "print a \"dashboard\" for Grafana or \"alerts\" for Prometheus instead of serving")
	flag.Parse()

	tel, err := telemetry.Start(context.Background(), telemetry.Config{ServiceName: "my-service"})
	if err != nil {
		log.Fatal(err)
	}
	slog.SetDefault(slog.New(tel.LogHandler(slog.NewTextHandler(os.Stderr, nil))))

	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		log.Fatal(err)
	}
	db, err := orders.Open(context.Background(), cmp.Or(os.Getenv("ORDERS_DB"), filepath.Join(dir, "orders.db")))
	if err != nil {
		log.Fatal(err)
	}
	cache := orders.NewCache(db)

	srv := connectum.New(connectum.Config{
		Addr:      ":" + cmp.Or(os.Getenv("PORT"), "5000"),
		AdminAddr: cmp.Or(os.Getenv("ADMIN_LISTEN"), "localhost:9090"),
		TLS:       connectum.TLS{CertFile: os.Getenv("TLS_CERT"), KeyFile: os.Getenv("TLS_KEY")},
		Interceptors: interceptor.Defaults(interceptor.Config{
			Telemetry: tel.Server(),
			Log:       &interceptor.LogConfig{},
		}),
	})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	ordersv1connect.RegisterOrderServiceHandler(srv.RPC(), orders.NewService(db, cache))
	faultsv1connect.RegisterFaultServiceHandler(srv.RPC(), faults.Service{}) // what clients see of faults

	checks := health.Register(srv) // follows ready and draining by itself
	checks.Add("database", db.Ping)
	reflection.Register(srv)
	debug.Register(srv) // profiles on the admin listener
	tel.Register(srv)   // /metrics on the admin listener

	srv.OnReady(func(_ context.Context, addr net.Addr) { slog.Info("ready", "addr", addr.String()) })
	srv.OnStopping(func() { slog.Info("shutting down") })
	srv.OnShutdown("cache", cache.Flush)
	srv.OnShutdown("database", db.Close, "cache", "health") // after the cache, and when no probe is left
	srv.OnShutdown("files", func() error { return os.RemoveAll(dir) }, "database")
	srv.OnShutdown("telemetry", tel.Shutdown, "database")

	if *show != "" {
		defer func() { _ = os.RemoveAll(dir) }()
		if err := printed(*show, srv); err != nil {
			log.Print(err)
		}
		return
	}
	connectum.Main(srv)
}

// printed writes what is generated from the registered services.
func printed(what string, srv *connectum.Server) error {
	var text []byte
	var err error
	switch what {
	case "dashboard":
		text, err = telemetry.Dashboard(srv, "my-service")
	case "alerts":
		text = telemetry.Alerts(srv, telemetry.AlertConfig{})
	default:
		err = fmt.Errorf("-print %s: want dashboard or alerts", what)
	}
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	return err
}
