// Package debug shows the inside of a process to its operators: profiles, traces,
// goroutines, and what the binary was built of.
//
//	func main() {
//		srv := connectum.New(connectum.Config{AdminAddr: "localhost:9090"})
//		greeterv1connect.RegisterGreeterServiceHandler(srv.RPC(), greeter{})
//		debug.Register(srv)
//		connectum.Main(srv)
//	}
//
// All of it is on the admin listener, and nowhere else: profiles tell strangers
// how a service works, and cost time. The paths are those of net/http/pprof, so
// that go tool pprof finds them, but that package is not linked: it registers
// itself on http.DefaultServeMux, which may be served to everyone.
package debug

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/connectum-go/connectum"
)

// Register serves on the admin listener of srv
//
//	/debug/pprof/              a list of the profiles
//	/debug/pprof/NAME          one of them: heap, goroutine, allocs, mutex, block, threadcreate, and the process's own
//	/debug/pprof/profile       of the CPU, for ?seconds=30
//	/debug/pprof/trace         an execution trace, for ?seconds=1
//	/debug/build               modules, versions and settings, as go version -m prints them
//
// Profiles take ?debug=1 for text; goroutine also ?debug=2 for every stack, as a
// panic prints it. heap takes ?gc=1 to collect garbage first. CPU and trace last
// at most 5 minutes, one of each at a time, and end when their client leaves.
// mutex and block are empty until the program calls
// [runtime.SetMutexProfileFraction] and [runtime.SetBlockProfileRate].
//
// It must be called before the server runs. Without Config.AdminAddr the server
// does not start.
func Register(srv *connectum.Server) {
	srv.HandleAdmin("GET /debug/pprof/{$}", http.HandlerFunc(index))
	srv.HandleAdmin("GET /debug/pprof/{name}", http.HandlerFunc(named))
	srv.HandleAdmin("GET /debug/pprof/profile", http.HandlerFunc(cpu))
	srv.HandleAdmin("GET /debug/pprof/trace", http.HandlerFunc(execution))
	srv.HandleAdmin("GET /debug/build", http.HandlerFunc(build))
}

func build(w http.ResponseWriter, _ *http.Request) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		http.Error(w, "the binary was built without module information", http.StatusNotFound)
		return
	}
	begin(w, "text/plain; charset=utf-8", "")
	_, _ = fmt.Fprint(w, info)
}

// begin sets the header of an answer; file names what browsers should save.
func begin(w http.ResponseWriter, contentType, file string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if file != "" {
		h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", file))
	}
}
