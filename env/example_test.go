package env_test

import (
	"fmt"

	"github.com/connectum-go/connectum/env"
)

func Example() {
	var cfg struct {
		env.Config
		Greeting string    `env:"GREETING" envDefault:"Hello"`
		Workers  env.Count `env:"WORKERS" min:"1" max:"64"`
	}
	err := env.ParseFrom(&cfg, map[string]string{"PORT": "8080", "DRAIN_DELAY": "5s"})
	fmt.Println(cfg.Server().Addr, cfg.Server().Shutdown.DrainDelay, cfg.Greeting, err)
	fmt.Println(env.ParseFrom(&cfg, map[string]string{"LOG_LEVEL": "loud", "WORKERS": "100"}))
	// Output:
	// :8080 5s Hello <nil>
	// env: LOG_LEVEL is "loud": want debug, info, warn or error
	// env: WORKERS: want a whole number from 1 to 64
}
