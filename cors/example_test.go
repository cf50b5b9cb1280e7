package cors_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/cors"
)

func ExampleNew() {
	srv := connectum.New(connectum.Config{
		Middleware: []func(http.Handler) http.Handler{
			cors.New(cors.Config{
				Origins: []string{"https://app.example.com"},
				Headers: []string{"Authorization"},
			}),
		},
	})

	// What a browser asks before it lets a script of the application call.
	preflight := httptest.NewRequest(http.MethodOptions, "/greeter.v1.GreeterService/SayHello", nil)
	preflight.Header.Set("Origin", "https://app.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	preflight.Header.Set("Access-Control-Request-Headers", "authorization,connect-protocol-version,content-type")
	answer := httptest.NewRecorder()
	srv.Handler().ServeHTTP(answer, preflight)

	fmt.Println(answer.Code)
	fmt.Println(answer.Header().Get("Access-Control-Allow-Origin"))
	fmt.Println(answer.Header().Get("Access-Control-Allow-Headers"))
	fmt.Println(answer.Header().Get("Access-Control-Max-Age"))
	// Output:
	// 204
	// https://app.example.com
	// authorization,connect-protocol-version,content-type
	// 7200
}
