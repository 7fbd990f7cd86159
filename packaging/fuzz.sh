#!/usr/bin/env bash
# Runs each fuzz target for a few seconds: packaging/fuzz.sh [SECONDS [PACKAGE...]].
# A failing input is kept under the package's testdata/fuzz, where every later test run reads it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-3}
shift || true
status=0
for folder in "${@:-$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n 1 dirname | sort -u)}"; do
	for package in $folder; do
		for target in $(grep -hoE '^func Fuzz\w+' "$package"/*_test.go | cut -d ' ' -f 2); do
			out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" "./$package" 2>&1) ||
				{ printf '%s\n' "$out" && status=1; }
			printf '%s\n' "$out" | grep -E '^ok' | sed "s/^ok/fuzz $target/" || true
		done
	done
done
exit $status
