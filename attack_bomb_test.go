package connectum_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
	"github.com/connectum-go/connectum/internal/testservice"
)

// Many bombs at once, each of which is within its limit, or not yet known to be
// over it: what they take together is bounded, before they are decoded too.

// Four for each processor grow at one time; the others wait for a second, as
// the few bytes that they came as.
func TestFewBombsGrowAtOnce(t *testing.T) {
	t.Parallel()
	turns := 4 * runtime.GOMAXPROCS(0)
	bombs := turns + 40
	for _, d := range handmade {
		for budget, want := range map[int64]int{0: turns, -1: bombs} { // without a budget, the control
			t.Run(fmt.Sprintf("%s/%d", d.name, budget), func(t *testing.T) {
				t.Parallel()
				gzip := new(attack.Bomb)
				cfg := connectum.Config{Compressors: []connect.Compressor{gzip},
					Limits: connectum.Limits{DecodeBudget: budget, MaxReceiveBytes: 128 << 10, CompressMinBytes: 1 << 20}}
				attacked(t, cfg, usual, func(v *victim) {
					gzip.Let = make(chan struct{}) // of this bubble
					client, answers := v.http(true), make(chan verdict, bombs)
					for range bombs {
						go func() {
							answers <- d.send(v.t, client, "http://localhost", d.method(), map[string]string{d.encoding: "gzip"}, bytes.NewReader(d.body(1, []byte("bomb"))))
						}()
					}
					synctest.Wait()
					if n := int(gzip.Grown.Load()); n != want {
						t.Errorf("%d of %d bombs have grown, want %d", n, bombs, want)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					if n := len(answers); n != bombs-want {
						t.Errorf("%d were refused after a second, want %d", n, bombs-want)
					}
					close(gzip.Let)
					for range bombs {
						if got := <-answers; got.code != "resource_exhausted" {
							t.Errorf("%s, %q, want resource_exhausted", got.code, got.message)
						}
					}
				})
			})
		}
	}
}

// Bombs of gzip that end within the limit come to the handlers as far as the
// budget goes, in every protocol.
func TestBombsWithinTheLimitShareTheDecodeBudget(t *testing.T) {
	t.Parallel()
	for _, d := range handmade {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			message, within := echoRequest(t, 256<<10-20), 2 // 4 MiB / (256 KiB × 8)
			switch d.name {
			case "connect json":
				message, within = []byte(`{"text":"`+strings.Repeat("x", 64<<10-20)+`"}`), 4 // 4 MiB / (64 KiB × 16)
			case "connect stream":
				message = append([]byte{2<<3 | 2}, message[1:]...) // CountRequest.text
			}
			bomb, bombs := d.body(1, zip(t, message)), within+2
			if len(bomb) > 1<<10 {
				t.Fatalf("a bomb of %d bytes", len(bomb))
			}
			var running, most atomic.Int64
			hold := func() {
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				running.Add(-1)
			}
			svc := func(*victim) testservice.Service {
				return testservice.Service{
					OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
						hold()
						return &testv1.EchoResponse{}, nil
					},
					OnCount: func(context.Context, *testv1.CountRequest, testv1connect.TestServiceCountServerStream) error {
						hold()
						return nil
					},
				}
			}
			attacked(t, connectum.Config{Limits: connectum.Limits{DecodeBudget: 4 << 20}}, svc, func(v *victim) {
				client, codes, got := v.http(true), make(chan string, bombs), map[string]int{}
				for range bombs {
					go func() {
						codes <- d.send(v.t, client, "http://localhost", d.method(), map[string]string{d.encoding: "gzip"}, bytes.NewReader(bomb)).code
					}()
				}
				for range bombs {
					got[<-codes]++
				}
				if got[""] != within || got["resource_exhausted"] != bombs-within || most.Load() != int64(within) {
					t.Errorf("%v, and %d at once, want %d within the budget", got, most.Load(), within)
				}
			})
		})
	}
}

// What waits for the budget is bounded as well: by its own size, undecoded. What
// comes then is refused at once.
func TestWhatWaitsForTheBudgetIsBounded(t *testing.T) {
	t.Parallel()
	const size, calls = 100 << 10, 20
	cfg := connectum.Config{Limits: connectum.Limits{DecodeBudget: 8 * size}}
	svc := func(*victim) testservice.Service {
		return testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
			time.Sleep(time.Second)
			return &testv1.EchoResponse{}, nil
		}}
	}
	attacked(t, cfg, svc, func(v *victim) {
		message := echoRequest(t, size-4) // with its tag and length, exactly the budget
		client := v.http(true)
		type answer struct {
			code string
			took time.Duration
		}
		answers, got := make(chan answer, calls), map[answer]int{}
		began := time.Now()
		for range calls {
			go func() {
				code := handmade[0].send(v.t, client, "http://localhost", echoPath, nil, bytes.NewReader(message)).code
				answers <- answer{code, time.Since(began)}
			}()
		}
		for range calls {
			got[<-answers]++
		}
		want := map[answer]int{{"", time.Second}: 1, {"resource_exhausted", 100 * time.Millisecond}: 8, {"resource_exhausted", 0}: 11}
		for a, n := range want {
			if got[a] != n {
				t.Errorf("%v, want %v", got, want)
				break
			}
		}
	})
}
