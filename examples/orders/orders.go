// Package orders implements orders.v1.OrderService on SQLite, with a cache in
// front of it. Both have something to lose at shutdown, and in this order: the
// cache writes to the database what it has counted, then the database closes.
//
//	db, err := orders.Open(ctx, "orders.db")
//	if err != nil {
//		log.Fatal(err)
//	}
//	cache := orders.NewCache(db)
//	ordersv1connect.RegisterOrderServiceHandler(srv.RPC(), orders.NewService(db, cache))
//	srv.OnShutdown("cache", cache.Flush)
//	srv.OnShutdown("database", db.Close, "cache")
package orders

import (
	"cmp"
	"context"
	"errors"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	ordersv1 "github.com/connectum-go/connectum/examples/gen/orders/v1"
	"github.com/connectum-go/connectum/examples/gen/orders/v1/ordersv1connect"
)

// Service implements ordersv1connect.OrderServiceHandler. It is safe for
// concurrent use.
type Service struct {
	db    *DB
	cache *Cache
}

var _ ordersv1connect.OrderServiceHandler = (*Service)(nil)

// NewService returns a service that keeps its orders in db and reads them
// through cache, which must be a cache of db.
func NewService(db *DB, cache *Cache) *Service {
	return &Service{db: db, cache: cache}
}

// CreateOrder stores an order.
func (s *Service) CreateOrder(ctx context.Context, req *ordersv1.CreateOrderRequest) (*ordersv1.CreateOrderResponse, error) {
	order := &ordersv1.Order{
		OrderId:    req.GetOrderId(),
		Customer:   req.GetCustomer(),
		Items:      req.GetItems(),
		CreateTime: timestamppb.New(time.Now()),
	}
	if err := s.db.Insert(ctx, order); err != nil {
		return nil, publicError(err, order.GetOrderId())
	}
	return &ordersv1.CreateOrderResponse{Order: order}, nil
}

// GetOrder returns one order.
func (s *Service) GetOrder(ctx context.Context, req *ordersv1.GetOrderRequest) (*ordersv1.GetOrderResponse, error) {
	order, err := s.cache.Order(ctx, req.GetOrderId())
	if err != nil {
		return nil, publicError(err, req.GetOrderId())
	}
	return &ordersv1.GetOrderResponse{Order: order}, nil
}

// ListOrders sends the orders of a customer, the oldest first.
func (s *Service) ListOrders(ctx context.Context, req *ordersv1.ListOrdersRequest, stream ordersv1connect.OrderServiceListOrdersServerStream) error {
	// Read before the first is sent, so that a slow client holds no connection
	// to the database.
	list, err := s.db.List(ctx, req.GetCustomer(), int(cmp.Or(req.GetLimit(), 100)))
	if err != nil {
		return publicError(err, "")
	}
	for _, entry := range list {
		if err := stream.Send(&ordersv1.ListOrdersResponse{Order: entry.Order, Reads: entry.Reads}); err != nil {
			return err
		}
	}
	return nil
}

// publicError says what a client may know; the cause stays here, for the log.
func publicError(err error, id string) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return connect.Errorf(connect.CodeNotFound, "no order %q", id)
	case errors.Is(err, ErrExists):
		return connect.Errorf(connect.CodeAlreadyExists, "order %q exists already", id)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, "the call was canceled").WithCause(err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, "the orders took too long to answer").WithCause(err)
	default:
		return connect.NewError(connect.CodeInternal, "the orders cannot be reached").WithCause(err)
	}
}
