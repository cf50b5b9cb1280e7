// The generators whose output is committed. They stand apart from buf, which
// needs an unreleased protobuf: minimal version selection would then build
// protoc-gen-go from that commit, and generated code must come from exactly the
// releases the framework links. See docs/decisions/2026-11-24-pinned-generators.md.
module github.com/connectum-go/connectum/tools

go 1.26.0

tool (
	connectrpc.com/connect/cmd/protoc-gen-connect-go
	connectrpc.com/connect/v2/cmd/protoc-gen-connect-go
	google.golang.org/protobuf/cmd/protoc-gen-go
)

require (
	connectrpc.com/connect v1.21.1 // indirect
	connectrpc.com/connect/v2 v2.0.2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
