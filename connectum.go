// Package connectum is a server for gRPC and ConnectRPC services: every
// protocol on one port, safe limits, an explicit lifecycle.
package connectum
