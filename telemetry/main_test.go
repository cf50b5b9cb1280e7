package telemetry_test

import (
	"testing"

	"github.com/connectum-go/connectum/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
