module github.com/connectum-go/connectum/bench

go 1.26.0

replace github.com/connectum-go/connectum => ../

require (
	connectrpc.com/connect/v2 v2.0.2
	github.com/connectum-go/connectum v0.0.0
	google.golang.org/protobuf v1.36.12
)
