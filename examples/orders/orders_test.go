package orders_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ordersv1 "github.com/connectum-go/connectum/examples/gen/orders/v1"
	"github.com/connectum-go/connectum/examples/gen/orders/v1/ordersv1connect"
	"github.com/connectum-go/connectum/examples/orders"
)

func TestCreatedOrderCanBeRead(t *testing.T) {
	t.Parallel()
	client, _, _ := start(t)
	before := time.Now()
	created, err := client.CreateOrder(t.Context(), request("a-1", "ada"))
	if err != nil {
		t.Fatal(err)
	}
	want := &ordersv1.Order{
		OrderId:  "a-1",
		Customer: "ada",
		Items:    []*ordersv1.Item{{Sku: "TEA-1", Quantity: 2}},
	}
	ignoreTime := protocmp.IgnoreFields(&ordersv1.Order{}, "create_time")
	if diff := cmp.Diff(want, created.GetOrder(), protocmp.Transform(), ignoreTime); diff != "" {
		t.Errorf("created order (-want +got):\n%s", diff)
	}
	if at := created.GetOrder().GetCreateTime().AsTime(); at.Before(before) || at.After(time.Now()) {
		t.Errorf("create time %v, want one since %v", at, before)
	}
	// From the database first, then from the cache.
	for range 2 {
		got, err := client.GetOrder(t.Context(), &ordersv1.GetOrderRequest{OrderId: "a-1"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(created.GetOrder(), got.GetOrder(), protocmp.Transform()); diff != "" {
			t.Errorf("order read (-want +got):\n%s", diff)
		}
	}
}

func TestErrorsTellClientsWhatHappenedAndNoMore(t *testing.T) {
	t.Parallel()
	client, db, _ := start(t)
	if _, err := client.CreateOrder(t.Context(), request("a-1", "ada")); err != nil {
		t.Fatal(err)
	}
	_, err := client.CreateOrder(t.Context(), request("a-1", "grace"))
	wantError(t, err, connect.CodeAlreadyExists, `order "a-1" exists already`)
	_, err = client.GetOrder(t.Context(), &ordersv1.GetOrderRequest{OrderId: "b-1"})
	wantError(t, err, connect.CodeNotFound, `no order "b-1"`)

	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateOrder(t.Context(), request("a-2", "ada"))
	wantError(t, err, connect.CodeInternal, "the orders cannot be reached")
	_, err = client.GetOrder(t.Context(), &ordersv1.GetOrderRequest{OrderId: "a-1"})
	wantError(t, err, connect.CodeInternal, "the orders cannot be reached")
	_, err = list(t, client, &ordersv1.ListOrdersRequest{})
	wantError(t, err, connect.CodeInternal, "the orders cannot be reached")
}

func TestListOrdersSendsTheOldestFirst(t *testing.T) {
	t.Parallel()
	client, _, _ := start(t)
	for _, id := range []string{"z-1", "a-1", "m-1"} {
		if _, err := client.CreateOrder(t.Context(), request(id, "ada")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CreateOrder(t.Context(), request("g-1", "grace")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		req  *ordersv1.ListOrdersRequest
		want []string
	}{
		{"one customer", &ordersv1.ListOrdersRequest{Customer: "ada"}, []string{"z-1", "a-1", "m-1"}},
		{"every customer", &ordersv1.ListOrdersRequest{}, []string{"z-1", "a-1", "m-1", "g-1"}},
		{"limit", &ordersv1.ListOrdersRequest{Limit: 2}, []string{"z-1", "a-1"}},
		{"unknown customer", &ordersv1.ListOrdersRequest{Customer: "edsger"}, nil},
	} {
		got, err := list(t, client, test.req)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var ids []string
		for _, res := range got {
			ids = append(ids, res.GetOrder().GetOrderId())
		}
		if diff := cmp.Diff(test.want, ids); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestFlushWritesTheReadCounts(t *testing.T) {
	t.Parallel()
	client, _, cache := start(t)
	if _, err := client.CreateOrder(t.Context(), request("a-1", "ada")); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		read(t, client, "a-1")
	}
	wantReads(t, client, 0)
	// A flush that is refused loses nothing.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cache.Flush(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("flush after the deadline: %v, want %v", err, context.Canceled)
	}
	wantReads(t, client, 0)
	for want := int64(3); want < 5; want++ {
		if err := cache.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReads(t, client, want)
		read(t, client, "a-1")
	}
}

func TestCacheFlushesItselfWhenFull(t *testing.T) {
	t.Parallel()
	client, db, _ := start(t)
	// One more than the cache holds.
	for i := range 1025 {
		id := fmt.Sprintf("a-%d", i)
		if err := db.Insert(t.Context(), &ordersv1.Order{OrderId: id}); err != nil {
			t.Fatal(err)
		}
		read(t, client, id)
	}
	wantReads(t, client, 1)
}

func TestOrdersSurviveAReopen(t *testing.T) {
	t.Parallel()
	// A name that a careless URI would misread.
	file := filepath.Join(t.TempDir(), "a name with 100%#.db")
	for range 2 {
		db, err := orders.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Insert(t.Context(), &ordersv1.Order{OrderId: "a-1"})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, orders.ErrExists) {
			t.Fatal(err)
		}
		return
	}
	t.Error("the second insert found no order")
}

func TestOpenNamesTheFileItCannotOpen(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "absent", "orders.db")
	db, err := orders.Open(t.Context(), file)
	if err == nil {
		t.Fatal(errors.Join(errors.New("opened a file in no folder"), db.Close()))
	}
	if want := "open " + file + ": "; len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("error %q, want it to begin with %q", err, want)
	}
}

func TestPingAsksTheDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "orders.db")
	db, err := orders.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	ping := func(when string, well bool) {
		t.Helper()
		if err := db.Ping(t.Context()); (err == nil) != well {
			t.Errorf("%s: %v", when, err)
		}
	}
	ping("without orders", true)
	if err := db.Insert(t.Context(), &ordersv1.Order{OrderId: "a-1"}); err != nil {
		t.Fatal(err)
	}
	ping("with orders", true)

	// Somebody else takes the orders away, and brings them back.
	other, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, step := range []struct {
		sql  string
		well bool
	}{
		{"ALTER TABLE orders RENAME TO away", false},
		{"ALTER TABLE away RENAME TO orders", true},
	} {
		if _, err := other.ExecContext(t.Context(), step.sql); err != nil {
			t.Fatal(err)
		}
		ping(step.sql, step.well)
	}

	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ping("closed", false)
}

func TestConcurrentCallsCountEveryRead(t *testing.T) {
	t.Parallel()
	client, _, cache := start(t)
	if _, err := client.CreateOrder(t.Context(), request("a-1", "ada")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := client.GetOrder(t.Context(), &ordersv1.GetOrderRequest{OrderId: "a-1"}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 5 {
				if err := cache.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := cache.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantReads(t, client, 8*50)
}

func start(t *testing.T) (ordersv1connect.OrderServiceClient, *orders.DB, *orders.Cache) {
	t.Helper()
	db, err := orders.Open(t.Context(), filepath.Join(t.TempDir(), "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	cache := orders.NewCache(db)
	server := connect.NewServer()
	ordersv1connect.RegisterOrderServiceHandler(server, orders.NewService(db, cache))
	return ordersv1connect.NewOrderServiceClient(connect.NewClient(connectinprocess.New(server))), db, cache
}

func request(id, customer string) *ordersv1.CreateOrderRequest {
	return &ordersv1.CreateOrderRequest{
		OrderId:  id,
		Customer: customer,
		Items:    []*ordersv1.Item{{Sku: "TEA-1", Quantity: 2}},
	}
}

func read(t *testing.T, client ordersv1connect.OrderServiceClient, id string) {
	t.Helper()
	if _, err := client.GetOrder(t.Context(), &ordersv1.GetOrderRequest{OrderId: id}); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, client ordersv1connect.OrderServiceClient, req *ordersv1.ListOrdersRequest) ([]*ordersv1.ListOrdersResponse, error) {
	t.Helper()
	stream, err := client.ListOrders(t.Context(), req)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var all []*ordersv1.ListOrdersResponse
	for {
		res, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, res)
	}
}

// wantReads checks the written count of the oldest order.
func wantReads(t *testing.T, client ordersv1connect.OrderServiceClient, want int64) {
	t.Helper()
	all, err := list(t, client, &ordersv1.ListOrdersRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := all[0].GetReads(); got != want {
		t.Errorf("%d reads written, want %d", got, want)
	}
}

func wantError(t *testing.T, err error, code connect.Code, message string) {
	t.Helper()
	var public *connect.Error
	if !errors.As(err, &public) || public.Code() != code || public.Message() != message {
		t.Errorf("error %v, want %v: %s", err, code, message)
	}
}
