package validate_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1/rulestestv1connect"
	"github.com/connectum-go/connectum/validate"
)

func BenchmarkUnary(b *testing.B) {
	for _, c := range []struct {
		name  string
		chain []connectum.Interceptor
		call  func(rulestestv1connect.RuleServiceClient) error
	}{
		{"without", nil, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Put(b.Context(), &rulesv1.PutRequest{Name: "Ada"})
			return err
		}},
		{"no rules", []connectum.Interceptor{validate.New(validate.Config{})}, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Plain(b.Context(), &rulesv1.PlainRequest{Text: "Ada"})
			return err
		}},
		{"valid", []connectum.Interceptor{validate.New(validate.Config{})}, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Put(b.Context(), &rulesv1.PutRequest{Name: "Ada"})
			return err
		}},
		{"expressions", []connectum.Interceptor{validate.New(validate.Config{})}, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Vault(b.Context(), &rulesv1.VaultRequest{Owner: "Ada", Password: "long-enough"})
			return err
		}},
		{"refused", []connectum.Interceptor{validate.New(validate.Config{})}, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Put(b.Context(), &rulesv1.PutRequest{})
			if connect.CodeOf(err) == connect.CodeInvalidArgument {
				return nil
			}
			return err
		}},
		{"refused, 500 elements", []connectum.Interceptor{validate.New(validate.Config{})}, func(c rulestestv1connect.RuleServiceClient) error {
			_, err := c.Put(b.Context(), &rulesv1.PutRequest{Name: strings.Repeat("x", 65), Tags: make([]string, 500)})
			if connect.CodeOf(err) == connect.CodeInvalidArgument {
				return nil
			}
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			srv := connectum.New(connectum.Config{Interceptors: c.chain})
			rulestestv1connect.RegisterRuleServiceHandler(srv.RPC(), service{})
			client := rulestestv1connect.NewRuleServiceClient(connect.NewClient(srv.Transport()))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(client); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
