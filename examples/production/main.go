// Command production is the program that every decision of the framework is
// tested against: two services, a database and a cache that are closed in
// their order, and nothing that a service in production can do without. A third
// service goes wrong, to show what clients see of it.
package main

import (
	"cmp"
	"context"
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
)

func main() {
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
			Log: &interceptor.LogConfig{},
		}),
	})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	ordersv1connect.RegisterOrderServiceHandler(srv.RPC(), orders.NewService(db, cache))
	faultsv1connect.RegisterFaultServiceHandler(srv.RPC(), faults.Service{}) // what clients see of faults

	health.Register(srv) // follows ready and draining by itself
	reflection.Register(srv)
	debug.Register(srv) // profiles on the admin listener

	srv.OnReady(func(_ context.Context, addr net.Addr) { slog.Info("ready", "addr", addr) })
	srv.OnStopping(func() { slog.Info("shutting down") })
	srv.OnShutdown("cache", cache.Flush)
	srv.OnShutdown("database", db.Close, "cache") // after the cache
	srv.OnShutdown("files", func() error { return os.RemoveAll(dir) }, "database")
	connectum.Main(srv)
}
