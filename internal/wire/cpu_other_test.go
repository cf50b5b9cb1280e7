//go:build !unix

package wire_test

import "time"

func cpu() time.Duration { return 0 }
