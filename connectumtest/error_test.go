package connectumtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectum-go/connectum/connectumtest"
	testv1 "github.com/connectum-go/connectum/internal/gen/connectum/test/v1"
)

func detailed(t *testing.T, msgs ...proto.Message) *connect.Error {
	err := connect.NewError(connect.CodeNotFound, "user 7 is not here")
	for _, msg := range msgs {
		d, fault := connectproto.NewErrorDetail(msg)
		if fault != nil {
			t.Fatal(fault)
		}
		err = err.WithDetail(d)
	}
	return err
}

// Behaviours 159, with a control for each aspect.
func TestWantErrorLooksAtCodeMessageAndDetails(t *testing.T) {
	t.Parallel()
	second := durationpb.New(1e9)
	err := fmt.Errorf("wrapped: %w", detailed(t, wrapperspb.String("x"), durationpb.New(2e9), second))
	for _, test := range []struct {
		name, fault string
		err         error
		code        connect.Code
		aspects     []connectumtest.Aspect
	}{
		{"all at once", "", err, connect.CodeNotFound, []connectumtest.Aspect{
			connectumtest.Containing("user 7"), connectumtest.Matching(`^user \d+`), connectumtest.WithDetail(second)}},
		{"code alone", "", err, connect.CodeNotFound, nil},
		{"none", "no error, want not_found", nil, connect.CodeNotFound, nil},
		{"code", "has code not_found, want internal", err, connect.CodeInternal, nil},
		{"substring", `want it to contain "user 8"`, err, connect.CodeNotFound, []connectumtest.Aspect{connectumtest.Containing("user 8")}},
		{"regexp", `want it to match "^7"`, err, connect.CodeNotFound, []connectumtest.Aspect{connectumtest.Matching("^7")}},
		{"not of Connect", "is a *errors.errorString", errors.New("x"), connect.CodeUnknown, nil},
		{"detail of no such type", "no detail google.protobuf.Int32Value", err, connect.CodeNotFound,
			[]connectumtest.Aspect{connectumtest.WithDetail(wrapperspb.Int32(1))}},
		{"detail with another value", "seconds", err, connect.CodeNotFound,
			[]connectumtest.Aspect{connectumtest.WithDetail(durationpb.New(3e9))}},
	} {
		report := failure(t, func(tb testing.TB) { connectumtest.WantError(tb, test.err, test.code, test.aspects...) })
		if !strings.Contains(report, test.fault) || (report == "") != (test.fault == "") {
			t.Errorf("%s: report %q, want %q", test.name, report, test.fault)
		}
	}
}

func TestDetailFindsByType(t *testing.T) {
	t.Parallel()
	err := detailed(t, wrapperspb.String("x"), durationpb.New(2e9))
	if d, ok := connectumtest.Detail[*durationpb.Duration](err); !ok || d.GetSeconds() != 2 {
		t.Errorf("%v, %v", d, ok)
	}
	if d, ok := connectumtest.Detail[*wrapperspb.BoolValue](err); ok {
		t.Errorf("found %v", d)
	}
}

func TestWantComparesMessages(t *testing.T) {
	t.Parallel()
	a, b := &testv1.EchoResponse{Text: "a"}, &testv1.EchoResponse{Text: "b"}
	connectumtest.Want(t, []proto.Message{a, b}, []proto.Message{proto.Clone(a), proto.Clone(b)})
	if report := failure(t, func(tb testing.TB) { connectumtest.Want(tb, a, b) }); !strings.Contains(report, `"b"`) {
		t.Errorf("report %q", report)
	}
}
