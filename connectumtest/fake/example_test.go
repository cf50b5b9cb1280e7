package fake_test

import (
	"fmt"
	"math/rand/v2"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum/connectumtest/fake"
	faketestv1 "github.com/connectum-go/connectum/internal/gen/connectum/fake/test/v1"
)

func ExampleFaker_Fill() {
	user := new(faketestv1.User)
	if err := fake.Named("TestCreateUser").Fill(user); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.GetFirstName(), user.GetLastName())
	fmt.Println(user.GetEmail())
	fmt.Println(user.GetAge(), "years,", user.GetAddress().GetCity())
	// Output:
	// Carmine Newman
	// audie.davidson@example.com
	// 60 years, Oakland
}

func ExampleFaker_Message() {
	desc := new(faketestv1.TimeRange).ProtoReflect().Descriptor()
	msg, err := fake.New(1).Message(desc)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := msg.(*faketestv1.TimeRange) // its rule: this.start < this.end
	fmt.Println(r.GetStart().AsTime().Before(r.GetEnd().AsTime()))
	// Output: true
}

func ExampleWithKept() {
	invoice := &faketestv1.Invoice{Total: 500}
	if err := fake.New(1, fake.WithKept()).Fill(invoice); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(invoice.GetTotal(), invoice.GetNet()+invoice.GetTax())
	// Output: 500 500
}

func ExampleWithValue() {
	f := fake.New(1, fake.WithValue("city", func(r *rand.Rand, _ protoreflect.FieldDescriptor) any {
		return []string{"Oslo", "Bergen"}[r.IntN(2)]
	}))
	for range 3 {
		address := new(faketestv1.Address)
		if err := f.Fill(address); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(address.GetCity())
	}
	// Output:
	// Bergen
	// Oslo
	// Oslo
}

func ExampleError() {
	err := fake.New(1).Fill(new(faketestv1.Broken))
	fmt.Println(err)
	// Output: fill connectum.fake.test.v1.Broken: no valid message found: the message: never [broken]
}
