// Package kill takes peers away in the middle of replies and looks at what the client gets. It runs real nodes on
// loopback; the host's API streams. `make kill` and a test use it.
package kill
