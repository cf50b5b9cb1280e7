package validate_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum/connectumtest"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/validate"
)

const secret = "hunter2"

// A refusal tells no value of a field with debug_redact, neither as text nor
// as the key of a map.
func TestRefusalsTellNoSecrets(t *testing.T) {
	t.Parallel()
	srv := connectumtest.Start(t, serve(t, service{}, validate.Config{}))
	srv.EachDoor(t, func(t *testing.T, c *connect.Client) {
		client := rulestestv1connect.NewRuleServiceClient(c)
		for name, tc := range map[string]struct {
			req  *rulesv1.VaultRequest
			want string
		}{
			"a rule that says the value":          {&rulesv1.VaultRequest{Password: "plain" + secret}, "password: the rule is broken [password.plain]"},
			"a rule with a fixed text":            {&rulesv1.VaultRequest{Password: secret + " "}, "password: no spaces [password.space]"},
			"a rule of protovalidate":             {&rulesv1.VaultRequest{Password: strings.Repeat(secret, 5)}, "password: must be at most 32 characters [string.max_len]"},
			"a rule of the message with a secret": {&rulesv1.VaultRequest{Owner: secret, Password: secret}, "the rule is broken [vault.owner]"},
			"the key of a secret map":             {&rulesv1.VaultRequest{Owner: "a", Keys: map[string]string{secret: ""}}, "keys: must be at least 1 characters [string.min_len]"},
		} {
			_, err := client.Vault(t.Context(), tc.req)
			e := connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing(tc.want))
			for _, d := range e.Details() {
				if strings.Contains(string(d.Value), secret) {
					t.Errorf("%s: a detail %s holds the secret", name, d.Type)
				}
			}
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%s: %v", name, e)
			}
		}
		// The control: what is no secret is told.
		_, err := client.Vault(t.Context(), &rulesv1.VaultRequest{Owner: "a", Note: "bad idea", Labels: map[string]string{"color": ""}})
		connectumtest.WantError(t, err, connect.CodeInvalidArgument, connectumtest.Containing("note: not bad idea [note.echo]"), connectumtest.Containing(`labels["color"]`))
	})
}
