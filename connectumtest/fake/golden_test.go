package fake_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

// A seed in a test that someone wrote has to go on meaning what it meant.
// Changes of these bytes go into the changelog.
func TestSeedsGiveTheBytesTheyEverGave(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	for _, msg := range []proto.Message{
		new(faketestv1.User), new(faketestv1.TextFormats), new(faketestv1.MapRules), new(faketestv1.DoubleRules),
		new(faketestv1.Invoice), new(faketestv1.Legacy), new(faketestv1.WellKnownTypes),
	} {
		for seed := range uint64(3) {
			fmt.Fprintf(&got, "%s %d %x\n", msg.ProtoReflect().Descriptor().Name(), seed, encode(t, msg, seed))
		}
	}
	if *update {
		if err := os.WriteFile("testdata/golden.txt", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%swant\n%s", got.Bytes(), want)
	}
}
