package debug_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/debug"
)

// The admin listener is a Unix socket here; localhost:9090 is as good.
func Example() {
	dir, err := os.MkdirTemp("", "debug")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "admin")
	srv := connectum.New(connectum.Config{Addr: "localhost:0", AdminAddr: "unix://" + socket, Logger: slog.New(slog.DiscardHandler)})
	debug.Register(srv)

	ctx, stop := context.WithCancel(context.Background())
	srv.OnReady(func(_ context.Context, addr net.Addr) {
		defer stop()
		admin := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
		res, err := admin.Get("http://admin/debug/pprof/goroutine?debug=1")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		fmt.Println(strings.HasPrefix(string(text), "goroutine profile: total"))

		public, err := http.Get("http://" + addr.String() + "/debug/pprof/")
		if err != nil {
			fmt.Println(err)
			return
		}
		defer public.Body.Close()
		fmt.Println(public.Status)
	})
	if err := srv.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// true
	// 404 Not Found
}
