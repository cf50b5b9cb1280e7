package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// overHTTP makes unary calls as curl does: JSON by a POST, no library of ours.
func overHTTP(c *http.Client, t Target) func(ctx context.Context) error {
	body := fmt.Sprintf(`{"text": "a call", "number": "%d"}`, t.Work.Milliseconds())
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url()+"/connectum.test.v1.TestService/Echo", strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		var got struct{ Text string }
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("status %s, body %q: %w", res.Status, answer, err)
		}
		if res.StatusCode != http.StatusOK || got.Text != "a call" {
			return fmt.Errorf("status %s, body %q", res.Status, answer)
		}
		return nil
	}
}
