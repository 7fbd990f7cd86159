#!/usr/bin/env bash
# Says what does not keep the house's rules: format and linters (golangci-lint has gofumpt and staticcheck inside), a
# go.mod that is not tidy, generated files that are not what their sources say, libraries with known faults.
# Everything comes through the Go module proxy at a pinned version. Exits with 1 if anything complains.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

golangci=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

status=0
check() {
	echo "lint: $1"
	shift
	"$@" || status=1
}

# A generator that changes a file, or makes a new one, leaves another state behind than it found.
state() { git status --porcelain && git diff | sha256sum; }
generated() {
	local before after
	before=$(state)
	go generate ./... || return 1
	after=$(state)
	[ "$before" = "$after" ] || { echo "go generate changed:" && git status --short && git diff --stat && return 1; }
}

check 'format and linters' go run "$golangci" run ./...
check 'go.mod is tidy' go mod tidy -diff
check 'generated files' generated
check 'known faults of libraries' go run ./packaging/vulncheck ./app/...
exit $status
