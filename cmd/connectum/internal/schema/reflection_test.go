package schema_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cmd/connectum/internal/schema"
	"github.com/connectum-go/connectum/cmd/connectum/internal/target"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
	"github.com/connectum-go/connectum/reflection"
)

// The server sees a conversation that ends, not one that is cut off.
func TestTheConversationEndsWell(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 10)
	srv := connectum.New(connectum.Config{
		Logger: connectumtest.Logger(t),
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				if strings.Contains(r.URL.Path, "Reflection") {
					ended <- r.Context().Err()
				}
			})
		}},
	})
	testservice.Service{}.Register(srv.RPC())
	reflection.Register(srv)
	at, err := target.New(connectumtest.Start(t, srv).URL(), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := schema.FromServer(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Services(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if err := <-ended; err != nil {
		t.Errorf("the call of the server ends with %v", err)
	}
}
