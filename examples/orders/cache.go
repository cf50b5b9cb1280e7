package orders

import (
	"context"
	"log/slog"
	"sync"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/connectum-go/connectum/examples/gen/orders/v1"
)

// maxCached bounds the orders held: 1024 of at most 100 items each.
const maxCached = 1024

// Cache holds orders that were read and counts how often, and writes the counts
// to the database when it is full or flushed. Orders never change, so what it
// holds is never out of date. It is safe for concurrent use.
type Cache struct {
	db *DB

	mu      sync.Mutex
	entries map[string]*Entry // by order id; reads are those not yet written
}

// NewCache returns an empty cache of db.
func NewCache(db *DB) *Cache {
	return &Cache{db: db, entries: make(map[string]*Entry)}
}

// Order returns an order of the cache or of the database, or ErrNotFound. The
// order is the caller's own copy.
func (c *Cache) Order(ctx context.Context, id string) (*ordersv1.Order, error) {
	if order, ok := c.hit(id); ok {
		return order, nil
	}
	order, err := c.db.Order(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.isFull() {
		// The order is at hand: no reason to fail the call.
		if err := c.Flush(ctx); err != nil {
			slog.WarnContext(ctx, "order cache stays full", "error", err)
			return order, nil
		}
	}
	c.add(id, order, 1)
	return proto.CloneOf(order), nil
}

// Flush writes the counts and empties the cache. After an error it still holds
// them, and a later Flush tries again.
func (c *Cache) Flush(ctx context.Context) error {
	c.mu.Lock()
	entries := c.entries
	c.entries = make(map[string]*Entry)
	c.mu.Unlock()
	if len(entries) == 0 {
		return nil
	}
	reads := make(map[string]int64, len(entries))
	for id, entry := range entries {
		reads[id] = entry.Reads
	}
	err := c.db.AddReads(ctx, reads)
	if err != nil {
		for id, entry := range entries {
			c.add(id, entry.Order, entry.Reads)
		}
	}
	return err
}

func (c *Cache) hit(id string) (*ordersv1.Order, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[id]
	if !ok {
		return nil, false
	}
	entry.Reads++
	return proto.CloneOf(entry.Order), true
}

func (c *Cache) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries) >= maxCached
}

func (c *Cache) add(id string, order *ordersv1.Order, reads int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[id]
	if !ok {
		entry = &Entry{Order: order}
		c.entries[id] = entry
	}
	entry.Reads += reads
}
