module github.com/connectum-go/connectum/examples

go 1.26.0

replace github.com/connectum-go/connectum => ../

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.36.12-20260825204119-511051f7f437.2
	connectrpc.com/connect/v2 v2.0.2
	github.com/google/go-cmp v0.7.0
	github.com/ncruces/go-sqlite3 v0.37.0
	google.golang.org/protobuf v1.36.12
)

require connectrpc.com/grpcreflect/v2 v2.0.0 // indirect

require (
	github.com/connectum-go/connectum v0.0.0
	github.com/ncruces/go-sqlite3-wasm/v6 v6.5.35401 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
