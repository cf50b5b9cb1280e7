package connectum_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/connectum-go/connectum"
)

// The admin listener closes last: operators see the hooks run.
func TestTheAdminListenerOutlivesTheHooks(t *testing.T) {
	t.Parallel()
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := admin.Addr().String()
	_ = admin.Close()
	cfg := quiet()
	cfg.AdminAddr = addr
	srv := connectum.New(cfg)
	srv.HandleAdmin("/state", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, srv.State().String()) }))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	srv.OnShutdown("look", func() error {
		res, err := client.Get("http://" + addr + "/state")
		if err != nil {
			return err
		}
		if got := body(t, res); got != "stopping" {
			t.Errorf("state %q during the hooks", got)
		}
		if _, err := net.Dial("tcp", srv.Addr().String()); err == nil {
			t.Error("the port is open during the hooks")
		}
		return nil
	})
	in := run(t, srv)
	if res, err := client.Get(in.url("/state")); err != nil || res.StatusCode != http.StatusNotFound { // it is nothing for strangers
		t.Errorf("on Addr: %v, %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://" + addr + "/state"); err == nil {
		t.Error("the admin listener is open after the stop")
	}
}
