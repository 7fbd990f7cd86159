#!/usr/bin/env bash
# Writes the Go code of the protobuf messages: packaging/protoc.sh FILE.proto..., for go:generate.
# The line that names protoc's own version goes, so that every version writes the same file.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
GOBIN="$top/build/tools" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
PATH="$top/build/tools:$PATH" protoc --go_out=. --go_opt=paths=source_relative "$@"
sed -i '/^\/\/ \tprotoc  /d' "${@/%.proto/.pb.go}"
