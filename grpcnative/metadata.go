package grpcnative

import (
	"encoding/base64"
	"strings"

	"connectrpc.com/connect/v2"
	"golang.org/x/net/http/httpguts"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

const binarySuffix = "-bin"

// errVersion is told when grpc-go's streams are not what they were.
var errVersion = status.Error(codes.Unimplemented, "the native gRPC engine does not fit the version of grpc-go it is linked with")

func first(md metadata.MD, key string) string {
	if v := md[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// requestHeader fills in what the client sent, as net/http's door would:
// grpc-go has decoded the binary values.
func requestHeader(h *connect.Header, md metadata.MD) {
	for key, values := range md {
		if key == "cookie" && len(values) > 1 {
			values = []string{strings.Join(values, "; ")} // RFC 9113, section 8.2.3
		}
		if strings.HasSuffix(key, binarySuffix) {
			encoded := make([]string, len(values))
			for i, v := range values {
				encoded[i] = connect.EncodeBinaryHeader([]byte(v))
			}
			values = encoded
		}
		h.SetValues(spelled(key), values)
	}
}

// spelled spells the keys that nearly every request has as [connect.Header] does,
// which then need not be looked up and made anew.
func spelled(key string) string {
	switch key {
	case ":authority":
		return "Host"
	case "content-type":
		return "Content-Type"
	case "user-agent":
		return "User-Agent"
	case "grpc-accept-encoding":
		return "Grpc-Accept-Encoding"
	case "traceparent":
		return "Traceparent"
	case "tracestate":
		return "Tracestate"
	}
	return key
}

// responseHeader is what the handler set, as grpc-go takes it: it encodes binary
// values itself. What no header may hold is left out, as by net/http.
func responseHeader(h *connect.Header) metadata.MD {
	if h.Len() == 0 {
		return nil
	}
	md := make(metadata.MD, h.Len())
	for key, values := range h.All() {
		key = strings.ToLower(key)
		if reserved(key) || !httpguts.ValidHeaderFieldName(key) {
			continue
		}
		for _, v := range values {
			if strings.HasSuffix(key, binarySuffix) {
				v = decoded(v)
			} else if !httpguts.ValidHeaderFieldValue(v) {
				continue
			}
			md[key] = append(md[key], v)
		}
	}
	return md
}

// decoded decodes a binary value, with or without padding; one that is none is
// left as it is.
func decoded(v string) string {
	if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(v, "=")); err == nil {
		return string(b)
	}
	return v
}

// reserved are the names that are not for handlers to set.
func reserved(key string) bool {
	switch key {
	case "content-type", "te", "user-agent", "connection", "content-length", "transfer-encoding", "trailer",
		"keep-alive", "proxy-connection", "upgrade": // RFC 9113, section 8.2.2
		return true
	}
	return strings.HasPrefix(key, "grpc-") && key != "grpc-retry-pushback-ms" && key != "grpc-previous-rpc-attempts" || strings.HasPrefix(key, ":")
}

// statusOf is an error as gRPC has it.
func statusOf(err *connect.Error) *status.Status {
	details := err.Details()
	if len(details) == 0 {
		return status.New(codes.Code(err.Code()), err.Message())
	}
	p := &rpcstatus.Status{Code: int32(err.Code()), Message: strings.ToValidUTF8(err.Message(), "\uFFFD")}
	for _, d := range details {
		p.Details = append(p.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: d.Value})
	}
	return status.FromProto(p)
}
