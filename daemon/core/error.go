package core

import (
	"errors"
	"fmt"
	"net/http"
)

// Code names a kind of error, the same on every surface: API body, exit code, screen.
type Code string

// The kinds of error a user can meet.
const (
	CodeInvalidRequest  Code = "invalid_request"
	CodeContextTooLong  Code = "context_length_exceeded"
	CodeUnsupported     Code = "unsupported"
	CodeCorrupt         Code = "corrupt"
	CodeTooLarge        Code = "too_large"
	CodeSlow            Code = "request_timeout"
	CodeMethod          Code = "method_not_allowed"
	CodeUnauthorized    Code = "unauthorized"
	CodeForbidden       Code = "forbidden"
	CodeNotFound        Code = "not_found"
	CodeConflict        Code = "conflict"
	CodeRateLimited     Code = "rate_limited"
	CodeOverloaded      Code = "overloaded"
	CodeCancelled       Code = "cancelled"
	CodeNoRuntime       Code = "no_runtime"
	CodeNotReady        Code = "not_ready"
	CodeEngineCrashed   Code = "engine_crashed"
	CodeInsufficientRAM Code = "insufficient_memory"
	CodeDiskFull        Code = "disk_full"
	CodeTimeout         Code = "timeout"
	CodeInviteExpired   Code = "invite_expired"
	CodeInviteUsed      Code = "invite_used"
	CodeInviteRevoked   Code = "invite_revoked"
	CodeInternal        Code = "internal"
)

// Report is how one kind of error is shown: over HTTP, by the command line and on the screen.
type Report struct {
	Status int    // HTTP status
	Type   string // "type" of the API's error body
	Exit   int    // exit code of the command line
	Text   string // one plain sentence for the screen
	Hint   string // what to do about it; may be empty
}

// ReportOf is the one table that maps an error to its report. An unknown code is reported as CodeInternal.
func ReportOf(c Code) Report {
	switch c {
	case CodeInvalidRequest:
		return Report{http.StatusBadRequest, "invalid_request_error", 2, "That request was not understood.", ""}
	case CodeContextTooLong:
		return Report{http.StatusBadRequest, "invalid_request_error", 2, "The conversation is too long for this model.", "Start a new chat, shorten the message, or use a model with a longer context."}
	case CodeUnsupported:
		return Report{http.StatusBadRequest, "invalid_request_error", 2, "Shoal cannot do that.", ""}
	case CodeCorrupt:
		return Report{http.StatusBadRequest, "invalid_request_error", 9, "The file is damaged.", "Get the file again and check its size."}
	case CodeTooLarge:
		return Report{http.StatusRequestEntityTooLarge, "invalid_request_error", 2, "That is too large.", ""}
	case CodeSlow:
		return Report{http.StatusRequestTimeout, "invalid_request_error", 11, "The request came too slowly.", ""}
	case CodeMethod:
		return Report{http.StatusMethodNotAllowed, "invalid_request_error", 2, "That cannot be done with this address.", ""}
	case CodeUnauthorized:
		return Report{http.StatusUnauthorized, "authentication_error", 3, "The API key is missing or wrong.", "Send the header Authorization: Bearer KEY; `shoald key` prints the key."}
	case CodeForbidden:
		return Report{http.StatusForbidden, "permission_error", 3, "That is not allowed.", ""}
	case CodeNotFound:
		return Report{http.StatusNotFound, "not_found_error", 4, "That does not exist.", ""}
	case CodeConflict:
		return Report{http.StatusConflict, "conflict_error", 5, "That cannot be done right now.", ""}
	case CodeRateLimited:
		return Report{http.StatusTooManyRequests, "rate_limit_error", 6, "Too many requests.", "Wait as long as the Retry-After header says."}
	case CodeOverloaded:
		return Report{http.StatusTooManyRequests, "rate_limit_error", 6, "This PC is busy with other requests.", "Try again in a moment."}
	case CodeCancelled:
		return Report{499, "server_error", 7, "Stopped.", ""}
	case CodeNoRuntime:
		return Report{http.StatusServiceUnavailable, "server_error", 8, "The llama.cpp libraries are missing or do not fit.", "Run `shoald doctor`; it says which files it looked for and where."}
	case CodeNotReady:
		return Report{http.StatusServiceUnavailable, "server_error", 8, "The model is not ready.", ""}
	case CodeEngineCrashed:
		return Report{http.StatusServiceUnavailable, "server_error", 8, "The engine stopped in the middle and is being restarted.", "Try again; if it happens each time, run `shoald doctor`."}
	case CodeInsufficientRAM:
		return Report{http.StatusServiceUnavailable, "server_error", 8, "There is not enough memory for this model.", "Close other programs, choose a smaller model, or lower the context."}
	case CodeDiskFull:
		return Report{http.StatusInsufficientStorage, "server_error", 10, "The disk is full.", "Free some space, or move the data folder."}
	case CodeInviteExpired:
		return Report{http.StatusForbidden, "permission_error", 3, "That invite has expired.", "Ask for a new invite code and use it soon."}
	case CodeInviteUsed:
		return Report{http.StatusConflict, "conflict_error", 5, "That invite has been used already.", "Each code lets one PC in: ask for one of your own."}
	case CodeInviteRevoked:
		return Report{http.StatusForbidden, "permission_error", 3, "That invite has been taken back.", "Ask for a new invite code."}
	case CodeTimeout:
		return Report{http.StatusGatewayTimeout, "server_error", 11, "That took too long.", ""}
	default:
		return Report{http.StatusInternalServerError, "server_error", 1, "Something went wrong inside Shoal.", "The log has the details."}
	}
}

// Error is an error with a code. Msg is safe to show to the caller; Err, if any, is for the log.
type Error struct {
	Code  Code
	Msg   string
	Param string // the request field at fault, if one is
	Hint  string // replaces the table's hint if not empty
	Err   error
}

// Errorf makes an Error of code c. A wrapped %w operand stays reachable by errors.Is and errors.As.
func Errorf(c Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: c, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// WithParam returns a copy of e that names the request field at fault.
func (e *Error) WithParam(name string) *Error {
	c := *e
	c.Param = name
	return &c
}

// WithHint returns a copy of e that says what to do about it.
func (e *Error) WithHint(hint string) *Error {
	c := *e
	c.Hint = hint
	return &c
}

// Error implements error.
func (e *Error) Error() string { return e.Msg }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first Error in err's chain, CodeInternal for any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
