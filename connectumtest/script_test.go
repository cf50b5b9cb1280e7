package connectumtest_test

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
	"github.com/connectum-go/connectum/internal/gen/connectum/test/v1/testv1connect"
)

func testService() protoreflect.ServiceDescriptor {
	return testv1.File_connectum_test_v1_test_proto.Services().ByName("TestService")
}

func scripted(t testing.TB, script connectumtest.Script, chain ...connectum.Interceptor) *connectum.Server {
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t), Interceptors: chain})
	script.Register(srv.RPC(), testService())
	return srv
}

func counted(t testing.TB, client *connect.Client) (numbers []int64, err error) {
	stream, err := testv1connect.NewTestServiceClient(client).Count(t.Context(), new(testv1.CountRequest))
	for err == nil {
		var res *testv1.CountResponse
		if res, err = stream.Receive(); err == nil {
			numbers = append(numbers, res.GetNumber())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return numbers, err
}

func TestAScriptAnswersFailsAndStreamsBehindEveryDoor(t *testing.T) {
	t.Parallel()
	one, two := &testv1.CountResponse{Number: 1}, &testv1.CountResponse{Number: 2}
	gone := connect.NewError(connect.CodeNotFound, "gone")
	srv := scripted(t, connectumtest.Script{
		"Echo":  connectumtest.Answer(&testv1.EchoResponse{Text: "a"}),
		"Get":   connectumtest.Fail(gone),
		"Sum":   connectumtest.Answer(&testv1.SumResponse{Sum: 5}),
		"Count": connectumtest.Answer(one, two).Then(connectumtest.Fail(gone)),
		"Chat":  connectumtest.Answer(&testv1.ChatResponse{Text: "x"}, &testv1.ChatResponse{Text: "y"}, &testv1.ChatResponse{Text: "z"}),
	})
	connectumtest.EachBidiDoor(t, srv, func(t *testing.T, client *connect.Client) {
		c := testv1connect.NewTestServiceClient(client)
		if err := echo(t, client); err != nil {
			t.Error(err)
		}
		_, err := c.Get(t.Context(), new(testv1.GetRequest))
		connectumtest.WantError(t, err, connect.CodeNotFound, connectumtest.Containing("gone"))
		sum, err := c.Sum(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = sum.Send(new(testv1.SumRequest))
		if res, err := sum.CloseAndReceive(); err != nil || res.GetSum() != 5 {
			t.Errorf("Sum: %v, %v", res, err)
		}
		numbers, err := counted(t, client)
		connectumtest.Want(t, numbers, []int64{1, 2})
		connectumtest.WantError(t, err, connect.CodeNotFound)
		chat, err := c.Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = chat.Send(new(testv1.ChatRequest))
		texts := ""
		for n := 0; err == nil; n++ {
			var res *testv1.ChatResponse
			if res, err = chat.Receive(); err == nil {
				texts += res.GetText()
			}
			if n == 0 {
				_ = chat.CloseSend() // the rest comes now
			}
		}
		if texts != "xyz" || !errors.Is(err, io.EOF) {
			t.Errorf("Chat: %q, %v", texts, err)
		}
	})
}

func TestAScriptGoesOnWithEachCall(t *testing.T) {
	t.Parallel()
	client := connectumtest.Client(t, scripted(t, connectumtest.Script{"Echo": connectumtest.Steps(
		connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "later")),
		connectumtest.Answer(&testv1.EchoResponse{Text: "a"}),
	)}))
	connectumtest.WantError(t, echo(t, client), connect.CodeUnavailable)
	for range 2 {
		if err := echo(t, client); err != nil {
			t.Error(err)
		}
	}
	_, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), new(testv1.GetRequest))
	connectumtest.WantError(t, err, connect.CodeUnimplemented, connectumtest.Containing("not in the script"))
}

func TestAScriptDelaysAndHangsUnderFakeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := connectumtest.Start(t, scripted(t, connectumtest.Script{
			"Echo": connectumtest.Delay(time.Second).Then(connectumtest.Answer(&testv1.EchoResponse{Text: "a"})),
			"*":    connectumtest.Hang(),
		}), connectumtest.InMemory())
		for _, d := range s.Doors() {
			client := s.Through(t, d)
			began := time.Now()
			if err := echo(t, client); err != nil || time.Since(began) != time.Second {
				t.Errorf("delay: %v after %v", err, time.Since(began))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began = time.Now()
			stream, err := testv1connect.NewTestServiceClient(client).Count(ctx, new(testv1.CountRequest))
			if err == nil {
				_, err = stream.Receive()
			}
			cancel()
			if connect.CodeOf(err) != connect.CodeDeadlineExceeded && !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
				t.Errorf("hang: %s: %v after %v", d.Name, err, time.Since(began))
			}
		}
	})
}

func TestAScriptDisconnects(t *testing.T) {
	t.Parallel()
	srv := scripted(t, connectumtest.Script{
		"Echo":  connectumtest.Disconnect(),
		"Count": connectumtest.Answer(&testv1.CountResponse{Number: 1}).Then(connectumtest.Disconnect()),
	})
	connectumtest.EachDoor(t, srv, func(t *testing.T, client *connect.Client) {
		if err := echo(t, client); err == nil {
			t.Error("unary: no error")
		}
		if _, err := counted(t, client); err == nil {
			t.Error("stream: no error")
		}
	})
}

func TestAScriptOfMethodsThatDoNotExistPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if r := recover(); r != `connectumtest: connectum.test.v1.TestService has no method ["Nope"]` {
			t.Errorf("panic %v", r)
		}
	}()
	scripted(t, connectumtest.Script{"Nope": connectumtest.Hang()})
}

func TestAServiceThatDoesNotExistPanicsInWords(t *testing.T) {
	t.Parallel()
	none := testv1.File_connectum_test_v1_test_proto.Services().ByName("Tset")
	for name, register := range map[string]func(*connectum.Server){
		"script": func(srv *connectum.Server) { connectumtest.Script{}.Register(srv.RPC(), none) },
		"fake":   func(srv *connectum.Server) { connectumtest.FakeService(srv, none) },
	} {
		func() {
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, "found none of that name") {
					t.Errorf("%s: panic %q", name, said)
				}
			}()
			register(connectum.New(connectum.Config{}))
		}()
	}
}

func TestFaultHitsItsShareOfItsMethodsTheSameEachTime(t *testing.T) {
	t.Parallel()
	hits := func() (pattern string) {
		client := connectumtest.Client(t, scripted(t, connectumtest.Script{
			"Echo": connectumtest.Answer(&testv1.EchoResponse{Text: "a"}),
			"Get":  connectumtest.Answer(new(testv1.GetResponse)),
		}, connectumtest.Fault("connectum.test.v1.TestService/Echo", 0.3, connectumtest.Fail(connect.NewError(connect.CodeUnavailable, "")))))
		for range 200 {
			if err := echo(t, client); err != nil {
				pattern += "x"
			} else {
				pattern += "."
			}
			if _, err := testv1connect.NewTestServiceClient(client).Get(t.Context(), new(testv1.GetRequest)); err != nil {
				t.Fatalf("another method: %v", err)
			}
		}
		return pattern
	}
	first := hits()
	n := 0
	for _, c := range first {
		if c == 'x' {
			n++
		}
	}
	if n < 40 || n > 80 {
		t.Errorf("%d of 200 calls were hit, want about 60", n)
	}
	if second := hits(); second != first {
		t.Errorf("another run hit other calls:\n%s\n%s", first, second)
	}
}

// A test whose faults never come would pass.
func TestFaultsThatHitNothingAreStartErrors(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]connectum.Interceptor{
		`"connectum.test.v1.TestService/Ecko" covers no procedure`: connectumtest.Fault("connectum.test.v1.TestService/Ecko", 1, connectumtest.Hang()),
		`the rate of the fault is 50: it must be from 0 to 1`:      connectumtest.Fault("*", 50, connectumtest.Hang()),
		`the rate of the fault is NaN: it must be from 0 to 1`:     connectumtest.Fault("*", math.NaN(), connectumtest.Hang()),
	} {
		err := scripted(t, connectumtest.Script{"*": connectumtest.Hang()}, fault).Check()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start error %v, want %s", err, want)
		}
	}
}

func TestFaultThatOnlyDelaysLetsCallsPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := connectumtest.Answer(&testv1.EchoResponse{Text: "a"})
		client := connectumtest.Client(t, scripted(t, connectumtest.Script{"Echo": answer}, connectumtest.Fault("*", 1, connectumtest.Delay(time.Second))))
		began := time.Now()
		if err := echo(t, client); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// And one that answers keeps them.
		client = connectumtest.Client(t, scripted(t, connectumtest.Script{"*": connectumtest.Hang()}, connectumtest.Fault("connectum.test.v1.TestService/*", 1, answer)))
		if err := echo(t, client); err != nil {
			t.Error(err)
		}
	})
}

func TestFakeServiceAnswersBySchemaAlone(t *testing.T) {
	t.Parallel()
	srv := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	connectumtest.FakeService(srv, testService())
	var first proto.Message
	connectumtest.EachBidiDoor(t, srv, func(t *testing.T, client *connect.Client) {
		c := testv1connect.NewTestServiceClient(client)
		res, err := c.Echo(t.Context(), connectumtest.Fake(t, new(testv1.EchoRequest)))
		if err != nil || res.GetText() == "" || res.GetNode() == nil || len(res.GetLabels()) == 0 {
			t.Errorf("Echo: %v, %v", res, err)
		}
		if first != nil && proto.Equal(first, res) {
			t.Error("the same answer twice")
		}
		first = res
		if numbers, err := counted(t, client); err != nil || len(numbers) != 3 {
			t.Errorf("Count: %v, %v", numbers, err)
		}
		sum, err := c.Sum(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sum.CloseAndReceive(); err != nil {
			t.Errorf("Sum: %v", err)
		}
		chat, err := c.Chat(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := chat.Send(new(testv1.ChatRequest)); err != nil {
				t.Error(err)
			}
			if res, err := chat.Receive(); err != nil || res.GetText() == "" {
				t.Errorf("Chat: %v, %v", res, err)
			}
		}
		_ = chat.CloseSend()
		if _, err := chat.Receive(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
	again := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	connectumtest.FakeService(again, testService())
	a, err := testv1connect.NewTestServiceClient(connectumtest.Client(t, again)).Echo(t.Context(), new(testv1.EchoRequest))
	if err != nil {
		t.Fatal(err)
	}
	third := connectum.New(connectum.Config{Logger: connectumtest.Logger(t)})
	connectumtest.FakeService(third, testService())
	b, err := testv1connect.NewTestServiceClient(connectumtest.Client(t, third)).Echo(t.Context(), new(testv1.EchoRequest))
	if err != nil {
		t.Fatal(err)
	}
	connectumtest.Want(t, a, b)
}

func TestFakeIsTheSameForOneTestAndOthersDiffer(t *testing.T) {
	t.Parallel()
	a := connectumtest.Fake(t, new(testv1.EchoRequest))
	connectumtest.Want(t, connectumtest.Fake(t, new(testv1.EchoRequest)), a)
	f := connectumtest.Faker(t)
	var one, two testv1.EchoRequest
	if err := errors.Join(f.Fill(&one), f.Fill(&two)); err != nil {
		t.Fatal(err)
	}
	connectumtest.Want(t, &one, a)
	if proto.Equal(&one, &two) {
		t.Error("the second fake equals the first")
	}
	t.Run("another", func(t *testing.T) {
		if proto.Equal(connectumtest.Fake(t, new(testv1.EchoRequest)), a) {
			t.Error("another test got the same fake")
		}
	})
}
