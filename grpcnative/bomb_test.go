package grpcnative_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/internal/attack"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/testservice"
)

// bombs are calls of Echo, each with this message, as few as fit a connection.
func (p *peer) bombs(n int, message []byte) {
	for i := range n {
		stream := uint32(1 + 2*i)
		p.send(p.post(stream, echoPath, grpcType, "grpc-encoding", "gzip"),
			attack.Frame{Kind: attack.Data, Flags: attack.EndStream, Stream: stream, Payload: attack.Envelope(1, message)})
	}
}

// The root's bound of what grows at one time holds by this door, as its budget
// does.
func TestFewBombsGrowAtOnce(t *testing.T) {
	t.Parallel()
	turns := 4 * runtime.GOMAXPROCS(0)
	bombs := turns + 40
	for budget, want := range map[int64]int{0: turns, -1: bombs} { // without a budget, the control
		g := new(attack.Bomb)
		cfg := connectum.Config{Compressors: []connect.Compressor{g},
			Limits: connectum.Limits{DecodeBudget: budget, MaxReceiveBytes: 128 << 10, MaxConcurrentStreams: bombs}}
		underAttack(t, cfg, testservice.Service{}, func(v *victim) {
			g.Let = make(chan struct{})
			p, healthy := v.peer(1<<20), v.peer(1<<20)
			p.bombs(bombs, []byte("bomb"))
			synctest.Wait()
			if n := int(g.Grown.Load()); n != want {
				t.Errorf("%d of %d bombs have grown, want %d", n, bombs, want)
			}
			healthy.call(1, getPath, &testv1.GetRequest{})
			if e, _ := healthy.end(1); e.fields["grpc-status"] != "0" {
				t.Errorf("another client meanwhile: %+v", e)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := v.InFlight(); n != want {
				t.Errorf("%d are in flight after a second, want %d", n, want)
			}
			close(g.Let)
			for i := range bombs {
				if e, _ := p.end(uint32(1 + 2*i)); e.fields["grpc-status"] != "8" {
					t.Errorf("%+v, want resource_exhausted", e)
				}
			}
			_, _ = p.Close(), healthy.Close()
			synctest.Wait()
		})
	}
}

func TestBombsWithinTheLimitShareTheDecodeBudget(t *testing.T) {
	t.Parallel()
	const bombs, within = 4, 2 // 4 MiB / (256 KiB × 8)
	message, err := proto.Marshal(&testv1.EchoRequest{Text: strings.Repeat("x", 256<<10-20)})
	if err != nil {
		t.Fatal(err)
	}
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(message)
	_ = w.Close()
	if bomb.Len() > 1<<10 {
		t.Fatalf("a bomb of %d bytes", bomb.Len())
	}
	var running, most atomic.Int64
	svc := testservice.Service{OnEcho: func(context.Context, *testv1.EchoRequest) (*testv1.EchoResponse, error) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Second)
		running.Add(-1)
		return &testv1.EchoResponse{}, nil
	}}
	underAttack(t, connectum.Config{Limits: connectum.Limits{DecodeBudget: 4 << 20}}, svc, func(v *victim) {
		p, got := v.peer(1<<20), map[string]int{}
		p.bombs(bombs, bomb.Bytes())
		for i := range bombs {
			e, _ := p.end(uint32(1 + 2*i))
			got[e.fields["grpc-status"]]++
		}
		if got["0"] != within || got["8"] != bombs-within || most.Load() != within {
			t.Errorf("%v, and %d at once, want %d within the budget", got, most.Load(), within)
		}
		_ = p.Close()
		synctest.Wait()
	})
}
