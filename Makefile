# Every target works without root, and without a network once the modules are in the cache.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
FUZZTIME  ?= 30s
BENCHTIME ?= 100ms
ROUNDS    ?= 5
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Folders whose tests are about goroutines meeting: these run under the race detector in every `make test`.
CONCURRENT := $(foreach d,gateway journal bus store client,$(if $(wildcard $(d)),./$(d)/...))
STATICCHECK := $(GO) tool -modfile=tools/go.mod staticcheck

.PHONY: help fmt lint test race rules bench bench-peers fuzz faults soak build cluster-demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

fmt: ## format the Go files
	@files=$$(scripts/go-files.sh); gofmt -l -w $$files

lint: ## check the format, go vet, staticcheck
	@files=$$(scripts/go-files.sh); wrong=$$(gofmt -l $$files); \
	if [ -n "$$wrong" ]; then printf 'not formatted, run make fmt: %s\n' $$wrong; exit 1; fi
	@$(GO) vet ./...
	@if (cd tools && $(GO) list -deps honnef.co/go/tools/cmd/staticcheck) >/dev/null 2>&1; then $(STATICCHECK) ./...; \
	else echo 'staticcheck left out: its modules are neither in the cache nor to be had'; fi
	@echo 'lint: clean'

test: ## all tests once, and those of the concurrent packages under the race detector
	$(GO) test ./...
	$(GO) test -race $(CONCURRENT)
	CARILLON_SCHEDULES=300 $(GO) test -race -short -run 'Schedules|F0|Order|Talk|Resume|Own|Pace|Reload' ./node
	scripts/test-web.sh

race: ## all tests under the race detector
	$(GO) test -race ./...

rules: ## what the repository demands of itself: imports, sizes, names, comments, links
	$(GO) test -count=1 ./internal/rules

bench: ## every benchmark, briefly (BENCHTIME=100ms)
	@dirs=$$(scripts/dirs-with.sh Benchmark); if [ -z "$$dirs" ]; then echo 'there is no benchmark'; exit 0; fi; \
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) $$dirs

bench-peers: build ## Carillon and other servers under the same load, in turn (ROUNDS=5, QUICK=1 only tries; needs cc, go, node, npm)
	@bin/carillon bench peers --rounds $(ROUNDS) $(if $(QUICK),--quick)

fuzz: ## every fuzz target for FUZZTIME=30s
	@GO='$(GO)' scripts/fuzz.sh $(FUZZTIME)

faults: ## the fault experiments at full length: tests named TestFault… or TestF01…
	@GO='$(GO)' scripts/long.sh '(TestFault|TestF[0-9][0-9])' 2h

soak: ## the runs of hours: tests named TestSoak…
	@GO='$(GO)' scripts/long.sh TestSoak 12h

build: ## bin/carillon
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/carillon ./cmd/carillon

cluster-demo: build ## a cluster behind a proxy, to chat on while its parts are killed and started by keys
	@CARILLON=bin/carillon scripts/cluster-demo.sh

clean: ## remove what the other targets made
	rm -rf bin
	$(GO) clean -testcache
