// Package conformance holds no code: its folders prove, from outside and with
// other people's clients and suites, what the framework promises. They are run
// by go test alone; docs/conformance.md tells what was counted.
//
//	interop   grpc-go's client, health client and reflection client
//	restart   rolling restarts of real processes, SIGTERM under load, the soak
//	suite     the official conformance suite of ConnectRPC
//	frames    h2spec, and honest clients under the frame meter
//	telemetry spans and metrics by the native door, which are those of all others
package conformance
