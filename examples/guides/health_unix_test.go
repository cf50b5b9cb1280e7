//go:build unix

package guides_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/examples/gen/greeter/v1/greeterv1connect"
	"github.com/connectum-go/connectum/examples/greeter"
	"github.com/connectum-go/connectum/health"
	"github.com/connectum-go/connectum/internal/guide"
)

func TestTheCommandsOfHealthRun(t *testing.T) {
	t.Parallel()
	admin := free(t)
	srv := connectum.New(connectum.Config{Addr: "localhost:0", AdminAddr: admin, Logger: connectumtest.Logger(t)})
	greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter.Service{})
	checks := health.Register(srv)
	checks.Add("database", func(context.Context) error {
		return errors.New("dial tcp 10.0.0.7:5432: connection refused")
	})
	s := connectumtest.Start(t, srv)
	await(t, s, "/startupz")
	guide.Run(t, "../../docs/health.md", guide.Setup{
		Replace: strings.NewReplacer("localhost:5000", strings.TrimPrefix(s.URL(), "http://"), "localhost:9090", admin),
		Mask: []*regexp.Regexp{
			regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`),
			regexp.MustCompile(`"ageSeconds": ?[\d.e-]+`),
			regexp.MustCompile(`"failures": ?\d+`),
		},
	})
}

// ports are given once each, from one that is another in each process.
var (
	ports     atomic.Int64
	firstPort = rand.IntN(10_000)
)

// free returns an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	var last error
	for range 100 {
		// Below the ports that kernels give to connections, of which other tests
		// have many at a time, and above those of cmd/connectum.
		port := 20_000 + (firstPort+int(ports.Add(1)))%10_000
		l, err := net.Listen("tcp", "localhost:"+strconv.Itoa(port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
		last = err
	}
	t.Fatal(last)
	return ""
}

// await waits until path is answered 200.
func await(t *testing.T, s *connectumtest.Server, path string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		res, err := s.HTTP1().Get(s.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("%s is not answered 200", path)
}
