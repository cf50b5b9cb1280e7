package connectumtest_test

import (
	"log/slog"
	"testing"

	"github.com/connectum-go/connectum"
	"github.com/connectum-go/connectum/connectumtest"
	"github.com/connectum-go/connectum/internal/testservice"
)

func TestRecordLogsKeepsLevelsMessagesAndAttributes(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	log := logs.Logger().With("a", 1).WithGroup("g").With("b", 2)
	go log.Warn("something happened", "c", 3, slog.Group("h", "d", 4))
	got := logs.Await(t, "happened")
	connectumtest.Want(t, got, connectumtest.Record{Level: slog.LevelWarn, Message: "something happened",
		Attrs: map[string]any{"a": int64(1), "g.b": int64(2), "g.c": int64(3), "g.h.d": int64(4)}})
	if want := "WARN something happened a=1 g.b=2 g.c=3 g.h.d=4\n"; logs.String() != want {
		t.Errorf("log %q, want %q", logs, want)
	}
	if len(logs.Find("nothing")) != 0 {
		t.Error("found what was not logged")
	}
}

func TestRecordLogsOfAServer(t *testing.T) {
	t.Parallel()
	logs := connectumtest.RecordLogs(t)
	s := connectumtest.Start(t, newServer(t, connectum.Config{Logger: logs.Logger()}, testservice.Service{}))
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := logs.Await(t, "server started"); r.Attrs["procedures"] != int64(5) {
		t.Errorf("%v", r)
	}
	if len(logs.Find("shutdown: done")) != 1 {
		t.Errorf("log:\n%s", logs)
	}
}
