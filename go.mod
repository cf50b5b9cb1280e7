module github.com/connectum-go/connectum

go 1.26.0

require connectrpc.com/connect/v2 v2.0.2

require google.golang.org/protobuf v1.36.12 // indirect
