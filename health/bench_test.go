package health_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/doors"
)

func BenchmarkCheckInProcess(b *testing.B) {
	srv, checks := server(connectum.Config{})
	checks.Add("database", func(context.Context) error { return nil })
	run(b, srv)
	ask := inProcess(srv)
	b.ReportAllocs()
	for b.Loop() {
		ask.check(b.Context(), served)
	}
}

func BenchmarkStatus(b *testing.B) {
	srv, checks := server(connectum.Config{})
	doors.Start(b, srv, doors.Config{Memory: true})
	b.ReportAllocs()
	for b.Loop() {
		checks.Status(served)
	}
}

func BenchmarkReadyz(b *testing.B) {
	srv, checks := server(connectum.Config{})
	checks.Add("database", func(context.Context) error { return nil })
	handler := srv.Handler()
	req := httptest.NewRequest(http.MethodGet, "/readyz", nil)
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), req)
	}
}
