// Package proto holds the protos of the framework's own services. What is made
// of them stands in internal/gen.
package proto

//go:generate go run ../../tools/generate/main.go
