//go:build !only && !light && unix

package main

func init() {
	members = append(members, member{"kitex", "`server.Run()`: it handles SIGTERM and stops gracefully at once. It has no health: a probe of the port says that it is ready.", byTCP, memberKitex})
}

func memberKitex() error {
	l, err := listen()
	if err != nil {
		return err
	}
	return serveKitex(l, &kitexService{work})
}
