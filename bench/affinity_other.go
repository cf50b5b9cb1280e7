//go:build !only && !linux

package main

// pinning is for systems that let a process choose its cores.
type pinning struct{}

func pin() *pinning { return nil }

func (p *pinning) start(f func() error) error { return f() }

func (p *pinning) String() string { return "servers and load share all cores" }
