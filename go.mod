module github.com/connectum-go/connectum

go 1.26.0

require connectrpc.com/connect/v2 v2.0.2

require (
	connectrpc.com/cors v0.1.0 // indirect
	github.com/caarlos0/env/v11 v11.4.2 // indirect
	github.com/rs/cors v1.11.1 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
