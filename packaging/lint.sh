#!/usr/bin/env bash
# Runs every linter at a pinned version, fetched through the Go module proxy. Exits with 1 if any of them complains.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
report() {
	[ -z "$2" ] || { printf '%s:\n%s\n' "$1" "$2" && status=1; }
}

report 'gofumpt would change' "$(go run mvdan.cc/gofumpt@v0.9.2 -l . 2>&1)"
go vet ./... || status=1
go run honnef.co/go/tools/cmd/staticcheck@v0.6.1 ./... || status=1
go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.8.0 run ./... || status=1
exit $status
