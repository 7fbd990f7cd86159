#!/usr/bin/env bash
# Does what a new user does: clones the last commit into an empty folder, with an empty HOME and empty Go caches, runs
# `make test`, then `make run` until the curl line it prints answers.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/shoal-fresh.XXXXXX")
node=

finish() {
	[ -z "$node" ] || kill -TERM "$node" 2>/dev/null || true
	[ -z "$node" ] || wait "$node" || true
	chmod -R u+w "$work" && rm -rf "$work" # the module cache is read-only
}
trap finish EXIT

mkdir "$work/home"
git clone -q "$top" "$work/shoal"
[ ! -d "$top/../shared" ] || ln -s "$(cd "$top/../shared" && pwd)" "$work/shared"
cd "$work/shoal"
clean=(env -i PATH="$PATH" HOME="$work/home" LANG=C.UTF-8 TERM=dumb CI=true)

"${clean[@]}" make test </dev/null

"${clean[@]}" make run </dev/null >"$work/run.log" 2>&1 &
node=$!
for _ in $(seq 600); do
	line=$(grep -m 1 -oE 'curl .*' "$work/run.log" || true)
	[ -z "$line" ] || break
	kill -0 "$node" 2>/dev/null || { cat "$work/run.log" && exit 1; }
	sleep 1
done
cat "$work/run.log"
[ -n "$line" ] || { echo 'fresh: make run printed no curl line' >&2 && exit 1; }
answer=$("${clean[@]}" bash -c "$line")
echo "$answer"
grep -q '"choices"' <<<"$answer" || { echo 'fresh: the curl line got no answer' >&2 && exit 1; }
echo 'fresh: both commands work'
