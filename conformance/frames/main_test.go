// Package frames_test looks at HTTP/2 from below: h2spec, and clients that
// behave under the frame meter.
package frames_test

import (
	"testing"

	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
