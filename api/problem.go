package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"carillon/wire"
)

// Codes of what only HTTP can get wrong; all others are those of the socket.
const (
	CodeNotFound  wire.Code = "not_found"
	CodeMethod    wire.Code = "method_not_allowed"
	CodeMediaType wire.Code = "unsupported_media_type"
)

// Status is the HTTP status of a code.
type Status struct {
	Code   wire.Code
	Status int
}

// Statuses lists the status of every code: those of HTTP alone first, then those of the socket in their order.
func Statuses() []Status { return statusTable[:] }

var statusTable = [...]Status{
	{CodeNotFound, http.StatusNotFound},
	{CodeMethod, http.StatusMethodNotAllowed},
	{CodeMediaType, http.StatusUnsupportedMediaType},

	{wire.CodeUnauthorized, http.StatusUnauthorized},
	{wire.CodeConnectTimeout, http.StatusRequestTimeout},
	{wire.CodeForbidden, http.StatusForbidden},
	{wire.CodeVersion, http.StatusBadRequest},
	{wire.CodeTooManyConnections, http.StatusTooManyRequests},
	{wire.CodeRevoked, http.StatusUnauthorized},
	{wire.CodeTooManyErrors, http.StatusTooManyRequests},
	{wire.CodeTokenExpired, http.StatusUnauthorized},
	{wire.CodeRateLimited, http.StatusTooManyRequests},
	{wire.CodeSlow, http.StatusServiceUnavailable},
	{wire.CodeNoSignOfLife, http.StatusRequestTimeout},
	{wire.CodeStateLost, http.StatusServiceUnavailable},
	{wire.CodeOverloaded, http.StatusServiceUnavailable},
	{wire.CodeDrain, http.StatusServiceUnavailable},

	{wire.CodeBadRequest, http.StatusBadRequest},
	{wire.CodeBadChannel, http.StatusBadRequest},
	{wire.CodeTooLarge, http.StatusRequestEntityTooLarge},
	{wire.CodeNotSubscribed, http.StatusConflict},
	{wire.CodeLimit, http.StatusConflict},
	{wire.CodeIDReuse, http.StatusUnprocessableEntity},
	{wire.CodeUnknown, http.StatusConflict},
	{wire.CodeUnconfirmed, http.StatusGatewayTimeout},
	{wire.CodeUnavailable, http.StatusServiceUnavailable},
	{wire.CodeStorageFull, http.StatusInsufficientStorage},
	{wire.CodeUnsupported, http.StatusNotImplemented},
	{wire.CodeNoService, http.StatusNotFound},
	{wire.CodeBusy, http.StatusServiceUnavailable},
	{wire.CodeStopped, http.StatusServiceUnavailable},
	{wire.CodeFailed, http.StatusInternalServerError},
	{wire.CodeInternal, http.StatusInternalServerError},
}

// StatusOf is the HTTP status of a code, also of one that this version does not know.
func StatusOf(c wire.Code) int {
	for _, s := range statusTable {
		if s.Code == c {
			return s.Status
		}
	}
	return http.StatusInternalServerError
}

// problem is an error as RFC 9457 has it. Its type is "about:blank": what went wrong is told by code.
type problem struct {
	Type       string    `json:"type"`
	Title      string    `json:"title"`
	Status     int       `json:"status"`
	Detail     string    `json:"detail"`
	Code       wire.Code `json:"code"`
	Retry      bool      `json:"retry"`
	RetryAfter int64     `json:"retry_after,omitempty"` // ms
}

// problemOf puts an error as the socket has it into the form of HTTP.
func problemOf(e *wire.Error) problem {
	m, status := e.Message(), StatusOf(e.Code)
	return problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: m.Text, Code: m.Code, Retry: m.Retry, RetryAfter: roundUp(m.RetryAfter, time.Millisecond),
	}
}

func (p problem) append(dst []byte) []byte {
	b, _ := json.Marshal(p) // cannot fail: strings and numbers
	return append(dst, b...)
}

// retryHeader is the value of Retry-After in seconds, "" for none. What passes by itself is worth a second.
func (p problem) retryHeader() string {
	switch {
	case p.RetryAfter > 0:
		return strconv.FormatInt(roundUp(time.Duration(p.RetryAfter)*time.Millisecond, time.Second), 10)
	case p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable:
		return "1"
	}
	return ""
}

// roundUp counts whole units, so that a wait never comes out shorter than it is.
func roundUp(d, unit time.Duration) int64 {
	n := int64(max(d, 0) / unit)
	if d > 0 && d%unit != 0 {
		n++
	}
	return n
}
