# make run    install what is missing, build, and start Shoal: a window where there is a display, else the bare node
# make test   the same set-up, then every test
# make build  shoal (window), shoald (command line) and shoal-worker (engine process) in build/
# make bench  speed against plain llama.cpp: a table, and build/bench.json
# make demo   three nodes on this PC run a model that none of them holds, step by step
# make kill   peers are taken away in the middle of replies, 200 times: a table of what the clients got; Linux
# make mutants  take each guard of the product out in turn, and report those that no test misses; ONLY=regexp for some
# make lint   format, linters, tidy go.mod, current generated files, known faults of libraries
# make fuzz   each fuzz target for FUZZ seconds (3)
# make generate  the code that is written by programs
# make fresh  clone into an empty folder with empty HOME and caches, and run both commands there

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The version is stamped above; asking git again per binary fails in containers where another user owns the clone.
export GOFLAGS += -buildvcs=false

# The race detector runs where goroutines share memory: it is slow, and elsewhere it finds nothing.
RACE := ^$(shell go list -m)/daemon(/(api|client|config|event|library|pipeline|plan|swarm|transfer|engine/fake|engine/schedule)(/.*)?)?$$
# What takes too long under it calls testing.Short, and its packages run a second time without it.
LONG := ^$(shell go list -m)/daemon/(swarm|engine/schedule)$$
GO_WINDOWS := GOOS=windows GOARCH=amd64 CGO_ENABLED=1 CC=x86_64-w64-mingw32-gcc
GO_DARWIN := GOOS=darwin GOARCH=arm64 CGO_ENABLED=0
WITHOUT_SCREEN := ./daemon/... ./app/shoald/... ./app/worker/...

.PHONY: build node window run test unit cross bench demo kill mutants lint fuzz generate fresh

build: node window

node:
	packaging/setup.sh node
	go build -ldflags "$(LDFLAGS)" -o build/shoald ./app/shoald
	go build -ldflags "$(LDFLAGS)" -o build/shoal-worker ./app/worker

window: node
	packaging/setup.sh window
	go build -tags migrated_fynedo -ldflags "$(LDFLAGS)" -o build/shoal ./app

ifneq ($(DISPLAY)$(WAYLAND_DISPLAY),)
run: window
	@exec build/shoal
else
run: node
	@exec build/shoald serve
endif

test:
	packaging/setup.sh test
	$(MAKE) lint unit cross

# One package at a time where the engine runs: two engines on the same cores wait for each other's threads.
unit:
	go vet ./...
	go test -timeout 20m -race -short -shuffle=on $$(go list ./... | grep -E '$(RACE)')
	go test -timeout 20m -p 1 $$(go list ./... | grep -vE '$(RACE)') $$(go list ./... | grep -E '$(LONG)')

# What runs on Windows and macOS must compile for them. The window takes too long on Windows to build it with every
# change, and what needs sqlite, which is C, cannot be built for macOS without its SDK.
cross:
	$(GO_WINDOWS) go build $(WITHOUT_SCREEN)
	$(GO_DARWIN) go build $$($(GO_DARWIN) go list -f '{{if .GoFiles}}{{.ImportPath}} {{.Deps}}{{end}}' $(WITHOUT_SCREEN) | grep -v go-sqlite3 | cut -d ' ' -f 1)

bench: node
	go build -o build/shoal-bench ./packaging/bench
	build/shoal-bench -runtime "$$(packaging/runtime/install.sh)" -out build/bench.json

demo: node
	go build -o build/shoal-swarm-demo ./packaging/swarmdemo
	build/shoal-swarm-demo

kill: node
	go build -o build/shoal-kill ./packaging/kill
	build/shoal-kill -runtime "$$(packaging/runtime/install.sh)"

mutants:
	packaging/setup.sh test
	go run ./packaging/mutants -only '$(ONLY)'

lint:
	packaging/lint.sh

fuzz:
	packaging/fuzz.sh $(or $(FUZZ),3)

generate:
	go generate ./...

fresh:
	packaging/fresh.sh
