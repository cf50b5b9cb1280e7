package env_test

import (
	"fmt"

	"github.com/connectum-go/connectum/env"
)

func Example() {
	var cfg struct {
		env.Config
		Greeting string `env:"GREETING" envDefault:"Hello"`
	}
	err := env.ParseFrom(&cfg, map[string]string{"PORT": "8080", "DRAIN_DELAY": "5s"})
	fmt.Println(cfg.Server().Addr, cfg.Server().Shutdown.DrainDelay, cfg.Greeting, err)
	fmt.Println(env.ParseFrom(&cfg, map[string]string{"LOG_LEVEL": "loud"}))
	// Output:
	// :8080 5s Hello <nil>
	// env: LOG_LEVEL: "loud" is not allowed: Least level that is logged: debug, info, warn or error. The default is info.
}
