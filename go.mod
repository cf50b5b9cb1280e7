module github.com/connectum-go/connectum

go 1.26.0

require (
	connectrpc.com/connect/v2 v2.0.2
	connectrpc.com/grpcreflect/v2 v2.0.0
	google.golang.org/protobuf v1.36.12
)
