//go:build !only && unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"
)

// runServer is the server's process. It serves the contender of that name and
// answers commands that come on its standard input, a line each, on file 3,
// until the input ends.
func runServer(name string) error {
	for _, c := range contenders {
		if c.name != name {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if dir := os.Getenv(profileKey); dir != "" {
			stop, err := profile(filepath.Join(dir, name+".pprof"))
			if err != nil {
				return err
			}
			defer stop()
		}
		answers := os.NewFile(3, "answers")
		if _, err := fmt.Fprintln(answers, l.Addr()); err != nil {
			return err
		}
		go func() {
			fmt.Fprintln(os.Stderr, "bench:", name, c.serve(l))
			os.Exit(1)
		}()
		return obey(c, os.Stdin, json.NewEncoder(answers))
	}
	return fmt.Errorf("no contender %q", name)
}

// profileKey names the directory that the CPU profile of each server goes to.
const profileKey = "BENCH_PROFILE"

// profile writes a CPU profile to a file until stop is called.
func profile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, pprof.StartCPUProfile(f)
}

// obey does what is asked for.
func obey(c contender, in io.Reader, out *json.Encoder) error {
	var call func() error // in-process
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var n int
		var err error
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "begin": // a round, with what others left behind out of the way
			runtime.GC()
		case "settle": // down to what is in use
			debug.FreeOSMemory()
		case "prepare": // to be called in-process
			call, err = c.inProcess()
		case "inprocess":
			_, err = fmt.Sscan(argument, &n)
			for range n {
				err = errors.Join(err, call())
			}
		}
		if err != nil {
			return err
		}
		if err := out.Encode(used()); err != nil {
			return err
		}
	}
	return nil
}

// server is a contender's process as the load sees it.
type server struct {
	contender
	addr    string
	in      io.WriteCloser
	answers *bufio.Reader
	cmd     *exec.Cmd
}

func start(c contender, p *pinning) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{contender: c, cmd: exec.Command(self, "-serve", c.name)}
	s.cmd.Stderr = os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.ExtraFiles = []*os.File{w}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.start(s.cmd.Start); err != nil {
		return nil, err
	}
	_ = w.Close() // the server has its own
	defer time.AfterFunc(stuckAfter, s.kill).Stop()
	s.answers = bufio.NewReader(r)
	line, err := s.answers.ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("it does not start: %w", err)
	}
	s.addr = strings.TrimSpace(line)
	if err := await(s.addr); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// ask sends a command and returns what the process has used when it was done.
func (s *server) ask(command string) (u usage, err error) {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return u, err
	}
	line, err := s.answers.ReadBytes('\n')
	if err != nil {
		return u, fmt.Errorf("%s: %w", command, err)
	}
	return u, json.Unmarshal(line, &u)
}

// stop ends the process: at the end of its input, or else by force.
func (s *server) stop() {
	_ = s.in.Close()
	defer time.AfterFunc(5*time.Second, s.kill).Stop()
	_ = s.cmd.Wait()
}

func (s *server) kill() { _ = s.cmd.Process.Kill() }
