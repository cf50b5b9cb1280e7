package interceptor_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/interceptor"
	rulesv1 "github.com/connectum-go/connectum/internal/gen/connectum/rules/test/v1"
	"github.com/connectum-go/connectum/internal/guide"
	"github.com/connectum-go/connectum/resilience"
)

// StockError is an error of the guide's application.
type StockError struct{ Left int }

func (e *StockError) Error() string { return fmt.Sprintf("%d left", e.Left) }

// What docs/interceptors.md shows is here, word for word.
func TestTheGuideToInterceptorsRuns(t *testing.T) {
	t.Parallel()
	audit, tenant, quota := mark("audit"), mark("tenant"), mark("quota")

	cfg := interceptor.Config{
		Log:          &interceptor.LogConfig{},
		Bulkhead:     resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 100, Queue: 50}),
		RateLimit:    resilience.NewRateLimit(resilience.RateLimitConfig{Calls: 20, Key: resilience.ByPeer}),
		StreamLimits: resilience.StreamLimits{Idle: 5 * time.Minute, Total: time.Hour},
	}
	srv := connectum.New(connectum.Config{Interceptors: interceptor.Defaults(cfg)})
	connectumtest.FakeService(srv, rulesService)

	explain := func() {
		fmt.Print(cfg.Explain(srv, "/connectum.rules.test.v1.RuleService/Put"))
	}
	_ = explain // its output is compared below
	page := read(t, "../docs/interceptors.md")
	if told := cfg.Explain(srv, "/connectum.rules.test.v1.RuleService/Put"); !strings.Contains(page, "```\n"+told+"```") {
		t.Errorf("the guide does not show what Explain prints:\n%s", told)
	}

	slow := resilience.NewBulkhead(resilience.BulkheadConfig{Capacity: 2})
	chain := append(interceptor.Defaults(cfg),
		interceptor.Only(slow.Interceptor(), "connectum.rules.test.v1.RuleService/Vault"),
		interceptor.OnlyKinds(audit, connect.StreamTypeUnary),
		interceptor.Except(audit, "connectum.rules.test.v1.RuleService/Plain"))

	chain = append(chain, interceptor.ByProcedure(map[string][]connectum.Interceptor{
		"*":                                     {audit},
		"connectum.rules.test.v1.RuleService/*": {tenant},
		"connectum.rules.test.v1.RuleService/Put": {quota},
	})...)
	patterned := connectum.New(connectum.Config{Interceptors: chain})
	connectumtest.FakeService(patterned, rulesService)
	if err := patterned.Check(); err != nil {
		t.Error(err)
	}

	synctest.Test(t, func(t *testing.T) { // an attempt of a busy machine may take longer than is shown here
		log := &interceptor.LogConfig{
			Messages: true,                          // each message, at debug level
			Mask:     []string{"token", "iban"},     // besides debug_redact
			Logger:   slog.New(slog.DiscardHandler), // or slog.Default
		}
		quiet := connectum.New(connectum.Config{Interceptors: interceptor.Defaults(interceptor.Config{Log: log})})
		connectumtest.FakeService(quiet, rulesService)
		transport := quiet.Transport()

		retry := resilience.NewRetry(resilience.RetryConfig{})
		client := connect.NewClient(transport, interceptor.ClientDefaults(interceptor.ClientConfig{
			Target:         "stock",
			Propagate:      []string{"traceparent", "tracestate"},
			Breaker:        resilience.NewBreaker(resilience.BreakerConfig{}),
			Retry:          retry,
			AttemptTimeout: 500 * time.Millisecond,
		})...)
		if _, err := call(t.Context(), client, connect.StreamTypeUnary, "a"); err != nil {
			t.Error(err)
		}
		_, err := call(t.Context(), client, connect.StreamTypeUnary, "")
		if !strings.Contains(page, "\n"+err.Error()+"\n") {
			t.Errorf("the guide does not show the refusal %v", err)
		}
	})
}

// What docs/errors.md shows is here, word for word.
func TestTheGuideToErrorsRuns(t *testing.T) {
	t.Parallel()
	find := func(id string) (*rulesv1.PutResponse, error) {
		return nil, connect.NewError(connect.CodeNotFound, "there is no such order").
			WithDetail(interceptor.ResourceInfo("order", id, "it was never placed"))
	}
	const id, sku = "tea-1", "TEA"
	details := []*connect.ErrorDetail{
		interceptor.BadRequest(interceptor.FieldViolation{Field: "end", Description: "is before start", Reason: "ORDER"}),
		interceptor.RetryInfo(30 * time.Second),
		interceptor.ErrorInfo("STOCK_EMPTY", "shop.example.com", map[string]string{"sku": sku}),
		interceptor.ResourceInfo("order", id, "it was never placed"),
	}
	for _, detail := range details {
		if len(detail.Value) == 0 {
			t.Errorf("%s is empty", detail.Type)
		}
	}

	cfg := interceptor.Config{Errors: interceptor.ErrorsConfig{Table: []interceptor.ErrorRule{
		interceptor.ErrorIs(sql.ErrNoRows, connect.CodeNotFound, "there is none of that name"),
		interceptor.ErrorAs(func(err *StockError) *connect.Error {
			return connect.Errorf(connect.CodeFailedPrecondition, "only %d left", err.Left).
				WithDetail(interceptor.RetryInfo(time.Hour))
		}),
		interceptor.ErrorAs(func(err *connect.Error) *connect.Error { // of a server that was called
			if err.Code() == connect.CodeUnavailable {
				return connect.NewError(connect.CodeUnavailable, "the stock can't be asked now")
			}
			return nil // not this one: the next line is asked
		}),
	}}}

	var reported []string
	report := func(_ context.Context, id, procedure string, _ error, _ []byte) {
		reported = append(reported, procedure+" "+id)
	}
	cfg.Errors.OnFailure = func(ctx context.Context, f interceptor.Failed) {
		report(ctx, f.ID, f.Spec.Procedure, f.Cause, f.Stack)
	}

	_, missing := find(id)
	for want, err := range map[string]error{
		"not_found: there is no such order":         missing,
		"not_found: there is none of that name":     fmt.Errorf("read: %w", sql.ErrNoRows),
		"failed_precondition: only 3 left":          &StockError{Left: 3},
		"unavailable: the stock can't be asked now": connect.NewError(connect.CodeUnavailable, secret).WithRemote(),
		"internal: internal error, id ":             connect.NewError(connect.CodeNotFound, secret).WithRemote(),
	} {
		srv := serve(connectumtest.RecordLogs(t), fail(err), interceptor.Defaults(cfg)...)
		_, got := call(t.Context(), connectumtest.Client(t, srv), connect.StreamTypeUnary, "a")
		if got == nil || !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if len(reported) != 2 { // the remote one that the table made unavailable has a cause, too
		t.Errorf("reported: %q", reported)
	}
}

// The pages show nothing but what runs above.
func TestTheGuidesShowWhatRuns(t *testing.T) {
	t.Parallel()
	source := read(t, "guide_test.go")
	for page, want := range map[string]int{"../docs/interceptors.md": 6, "../docs/errors.md": 4} {
		blocks := 0
		for _, b := range guide.Load(t, page) {
			if b.Lang != "go" {
				continue
			}
			if blocks++; !guide.Excerpt(source, b.Text) {
				t.Errorf("%s:%d: not in guide_test.go:\n%s", page, b.Line, b.Text)
			}
		}
		if blocks != want {
			t.Errorf("%s has %d blocks of Go, want %d", page, blocks, want)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
