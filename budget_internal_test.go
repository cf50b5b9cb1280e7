package connectum

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A message that waits for more room than there is, and gives up, stands no longer
// before those that fit.
func TestAWaiterThatGivesUpMakesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		if _, err := b.acquire(t.Context(), 6); err != nil {
			t.Fatal(err)
		}
		refused := make(chan bool, 1)
		go func() {
			_, err := b.acquire(context.Background(), 8)
			refused <- err != nil
		}()
		time.Sleep(budgetWait / 2)
		began := time.Now()
		if _, err := b.acquire(t.Context(), 4); err != nil || time.Since(began) != budgetWait/2 {
			t.Errorf("what fits: %v after %v", err, time.Since(began))
		}
		if !<-refused {
			t.Error("what does not fit was let in")
		}
	})
}
