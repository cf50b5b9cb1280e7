package validate_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/validate"
)

// Whatever a client sends, the refusal is small, is one, and tells no secret.
func FuzzRefusals(f *testing.F) {
	for _, msg := range []*rulesv1.VaultRequest{
		{Password: "plain", Owner: "plain"},
		{Keys: map[string]string{"k": ""}, Labels: map[string]string{"l": ""}, Note: "bad"},
		{Purses: []*rulesv1.Purse{{Pin: "1234"}}, Named: map[string]*rulesv1.Purse{"a": {}}},
	} {
		seed, err := proto.Marshal(msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	client := clientOf(f, serve(f, service{}, validate.Config{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		msg := new(rulesv1.VaultRequest)
		if proto.Unmarshal(data, msg) != nil {
			return
		}
		const marker = "s3cr3t-marker"
		msg.Password += marker
		for key := range msg.GetKeys() {
			msg.Keys[key+marker] = ""
		}
		_, err := client.Vault(t.Context(), msg)
		if err == nil {
			return
		}
		e := connectumtest.WantError(t, err, connect.CodeInvalidArgument)
		for _, d := range e.Details() {
			if strings.Contains(string(d.Value), marker) || len(d.Value) > 8<<10 {
				t.Errorf("%s: %d bytes: %q", d.Type, len(d.Value), d.Value)
			}
		}
		if strings.Contains(e.Message(), marker) || len(e.Message()) > 4<<10 {
			t.Errorf("%d bytes: %s", len(e.Message()), e.Message())
		}
	})
}
