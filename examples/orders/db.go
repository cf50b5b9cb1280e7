package orders

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/connectum-go/connectum/examples/gen/orders/v1"
)

var (
	// ErrNotFound is returned for an order that was never stored.
	ErrNotFound = errors.New("order not found")
	// ErrExists is returned for an order whose id is taken.
	ErrExists = errors.New("order exists")
)

// maxConns bounds the connections to the database, each of which has a memory of
// its own. SQLite has one writer at a time; the others are for readers.
const maxConns = 4

// The order itself is stored as its message: a field added to the proto needs no
// migration. What is searched by is a column.
const schema = `
CREATE TABLE IF NOT EXISTS orders (
	order_id TEXT PRIMARY KEY,
	customer TEXT NOT NULL,
	message  BLOB NOT NULL,
	reads    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer);
`

// DB keeps orders in a SQLite file. It is safe for concurrent use.
type DB struct {
	db *sql.DB
}

// Entry is a stored order.
type Entry struct {
	Order *ordersv1.Order
	Reads int64 // how often it was read, as told by AddReads
}

// Open opens the database in file and makes it if there is none. The caller
// closes it.
func Open(ctx context.Context, file string) (*DB, error) {
	// busy_timeout is in milliseconds. With WAL, readers and the writer do not
	// wait for each other; see https://sqlite.org/wal.html.
	name := url.URL{
		Path:     filepath.ToSlash(file),
		RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)",
	}
	db, err := sql.Open("sqlite3", "file:"+name.EscapedPath()+"?"+name.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(maxConns)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", file, err), db.Close())
	}
	return &DB{db: db}, nil
}

// Close waits for the queries that have begun and closes the file.
func (d *DB) Close() error {
	return d.db.Close()
}

// Ping reports whether orders can be read. It asks the database, since the ping of
// the driver is content with a connection that it has.
func (d *DB) Ping(ctx context.Context) error {
	var any bool
	if err := d.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM orders)`).Scan(&any); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Insert stores an order, or returns ErrExists.
func (d *DB) Insert(ctx context.Context, order *ordersv1.Order) error {
	message, err := proto.Marshal(order)
	if err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	result, err := d.db.ExecContext(ctx,
		`INSERT INTO orders (order_id, customer, message) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		order.GetOrderId(), order.GetCustomer(), message)
	if err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	rows, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	if rows == 0 {
		return ErrExists
	}
	return nil
}

// Order returns the order with an id, or ErrNotFound.
func (d *DB) Order(ctx context.Context, id string) (*ordersv1.Order, error) {
	var message []byte
	err := d.db.QueryRowContext(ctx, `SELECT message FROM orders WHERE order_id = ?`, id).Scan(&message)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	return decode(message)
}

// List returns up to limit orders of a customer, or of all when the customer is
// empty, the oldest first.
func (d *DB) List(ctx context.Context, customer string, limit int) ([]Entry, error) {
	rows, err := d.db.QueryContext(ctx,
		`SELECT message, reads FROM orders WHERE ?1 = '' OR customer = ?1 ORDER BY rowid LIMIT ?2`,
		customer, limit)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	defer rows.Close()
	var list []Entry
	for rows.Next() {
		var message []byte
		var entry Entry
		if err := rows.Scan(&message, &entry.Reads); err != nil {
			return nil, fmt.Errorf("list orders: %w", err)
		}
		if entry.Order, err = decode(message); err != nil {
			return nil, err
		}
		list = append(list, entry)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return list, nil
}

// AddReads adds to the read counts of orders, by id: all of them or none.
func (d *DB) AddReads(ctx context.Context, reads map[string]int64) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("add reads: %w", err)
	}
	defer tx.Rollback() // does nothing after Commit
	for id, count := range reads {
		if _, err := tx.ExecContext(ctx, `UPDATE orders SET reads = reads + ? WHERE order_id = ?`, count, id); err != nil {
			return fmt.Errorf("add reads: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("add reads: %w", err)
	}
	return nil
}

func decode(message []byte) (*ordersv1.Order, error) {
	order := new(ordersv1.Order)
	if err := proto.Unmarshal(message, order); err != nil {
		return nil, fmt.Errorf("decode order: %w", err)
	}
	return order, nil
}
