package connectumtest

import (
	"context"
	"errors"
	"io"
	"testing"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest/fake"
)

// Fake fills msg with values that mean something and are valid under its
// protovalidate rules, and returns it. The name of the test decides which: they
// are the same in each run, and two calls of one test for one type give the
// same. For messages that differ use [Faker].
func Fake[M proto.Message](t testing.TB, msg M, opts ...fake.Option) M {
	t.Helper()
	if err := Faker(t, opts...).Fill(msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

// Faker returns a source of fakes, one after the other different, that the name
// of the test decides.
func Faker(t testing.TB, opts ...fake.Option) *fake.Faker { return fake.Named(t.Name(), opts...) }

// FakeService registers a service on srv that answers by its schema alone: a
// mock server from a proto file. Each answer is another valid fake, the same in
// each run of a test whose calls come in the same order. Server streams have
// three messages; bidi streams have one for each request.
//
//	connectumtest.FakeService(srv, userv1.File_user_v1_user_proto.Services().ByName("UserService"))
func FakeService(srv *connectum.Server, service protoreflect.ServiceDescriptor, opts ...fake.Option) {
	Script{"*": Fakes(opts...)}.Register(srv.RPC(), service)
}

// Fakes answers as [FakeService] does, as a part of a [Script].
func Fakes(opts ...fake.Option) Step {
	fakers := newFakers(opts)
	return func(_ context.Context, spec connect.Spec, stream connect.ServerStream) error {
		method, ok := spec.Schema.(protoreflect.MethodDescriptor)
		if !ok {
			return connect.Errorf(connect.CodeInternal, "connectumtest: %s has no schema", spec.Procedure)
		}
		faker := fakers.of(spec.Procedure)
		send := func() error {
			msg, err := faker.Message(method.Output())
			if err != nil {
				return connect.Errorf(connect.CodeInternal, "connectumtest: %v", err)
			}
			return stream.Send(msg)
		}
		for {
			err := receive(spec, stream)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if spec.StreamType == connect.StreamTypeBidi {
				if err := send(); err != nil {
					return err
				}
			}
			if spec.StreamType&connect.StreamTypeClient == 0 {
				break
			}
		}
		answers := map[connect.StreamType]int{connect.StreamTypeUnary: 1, connect.StreamTypeClient: 1, connect.StreamTypeServer: 3}
		for range answers[spec.StreamType] {
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	}
}
