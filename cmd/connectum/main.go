// Command connectum takes an empty folder to a running service, and looks after
// running ones. Run it with --help for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/connectum-go/connectum/cmd/connectum/internal/cli"
	"github.com/connectum-go/connectum/cmd/connectum/internal/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], term.Standard())
	stop()
	os.Exit(code)
}
