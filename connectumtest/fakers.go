package connectumtest

import (
	"sync"

	"github.com/connectum-go/connectum/connectumtest/fake"
)

// fakers has a source of fakes for each procedure, so that what one answers
// does not depend on calls of another.
type fakers struct {
	opts []fake.Option
	mu   sync.Mutex
	made map[string]*fake.Faker
}

func newFakers(opts []fake.Option) *fakers {
	return &fakers{opts: opts, made: map[string]*fake.Faker{}}
}

func (f *fakers) of(procedure string) *fake.Faker {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[procedure] == nil {
		f.made[procedure] = fake.Named(procedure, f.opts...)
	}
	return f.made[procedure]
}
