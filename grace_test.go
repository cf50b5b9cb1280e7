package connectum_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/connectum-go/connectum"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Each stream has its grace whole, also one that begins just before that of
// the others is over.
func TestLateStreamsHaveAGraceOfTheirOwn(t *testing.T) {
	t.Parallel()
	const grace = 5 * time.Second // the default
	deaf := func(*victim) testservice.Service {
		return testservice.Service{OnCount: func(ctx context.Context, req *testv1.CountRequest, s testv1connect.TestServiceCountServerStream) error {
			for n := range 4 * req.GetCount() {
				if err := s.Send(&testv1.CountResponse{Number: int64(n) + 1}); err != nil {
					return err
				}
				time.Sleep(time.Second / 4) // of the fake clock; it looks at no context
			}
			return nil
		}}
	}
	underAttack(t, connectum.Config{}, deaf, func(v *victim) {
		// count opens a stream of n seconds, and tells how and when it ended.
		count := func(n int32) <-chan string {
			client := testv1connect.NewTestServiceClient(connect.NewClient(connecthttp.NewTransport(v.http(true), "http://localhost", connecthttp.WithGRPC())))
			ended, began := make(chan string, 1), time.Now()
			stream, err := client.Count(context.Background(), &testv1.CountRequest{Count: n})
			if err == nil {
				_, err = stream.Receive()
			}
			go func() {
				for err == nil {
					_, err = stream.Receive()
				}
				how := "well"
				if !errors.Is(err, io.EOF) {
					how = connect.CodeOf(err).String()
				}
				ended <- fmt.Sprint(how, " after ", time.Since(began).Truncate(time.Second))
			}()
			return ended
		}
		early := count(60)
		go func() { _ = v.Shutdown(context.Background()) }()
		time.Sleep(grace - 500*time.Millisecond)
		finishes, stays := count(4), count(60)
		for name, c := range map[string]struct {
			ended <-chan string
			want  string
		}{"early": {early, "unavailable after 5s"}, "late and short": {finishes, "well after 4s"}, "late and long": {stays, "unavailable after 5s"}} {
			if got := <-c.ended; got != c.want {
				t.Errorf("the stream that is %s ended %s, want %s", name, got, c.want)
			}
		}
	})
}
