# `make help` lists the targets. Tools are pinned in go.mod files below hack/ and
# built from there: nothing has to be installed but Go, make and git, and gcc for
# the race detector.
SHELL := /usr/bin/env bash -o pipefail
.DEFAULT_GOAL := help

# Constant on purpose: other flags would compile all of Kubernetes a second time.
export GOFLAGS := -trimpath -buildvcs=false
export GOWORK := off
export CGO_ENABLED := 0

# API server and etcd of hack/cluster, for the tests that need them.
export KUBEBUILDER_ASSETS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamgateway/cluster/bin

# Modules beside the main one that have tests.
MODULES := hack/image hack/demo hack/bench/peers

##@ Develop

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo

.PHONY: generate
generate: ## Renew generated files: deepcopy, CRD, RBAC, chart copies, API reference.
	hack/generate

.PHONY: lint
lint: ## Run golangci-lint with the Kubernetes API rules (built from modules, minutes the first time).
	hack/lint

.PHONY: test
test: compiler assets ## Run every test that needs no node, race detector on: unit, model, fuzz seeds, golden, API server (FUZZ=5m: fuzz instead).
ifdef FUZZ
	hack/fuzz $(FUZZ)
else
	CGO_ENABLED=1 go test -race -timeout 15m ./...
	@set -e; for m in $(MODULES); do echo "go test -C $$m"; CGO_ENABLED=1 go test -C $$m -race -timeout 5m ./...; done
	go test -C hack/chart ./... # without the race detector: it has no goroutine, and would compile Helm again
endif

.PHONY: golden
golden: ## Rewrite the golden files; read the diff.
	@set -e; for p in $$(grep -rlE 'flag\.Bool\("update"' --include='*_test.go' api controllers gateway | xargs -n1 dirname | sort -u); do \
	  echo "go test ./$$p -update"; go test ./$$p -update; done
	git status --short -- '*/testdata/*'

.PHONY: check
check: ## Do what a change has to pass: generate, lint, test, and a tree that all this left as committed.
	hack/generate check
	$(MAKE) lint test
	@git diff --exit-code --stat && [ -z "$$(git status --porcelain)" ] || { git status --short; echo "the tree differs from what is committed"; exit 1; }

##@ See it run

.PHONY: run
run: ## Run one gateway here, without a cluster: open to everybody on 127.0.0.1:8080.
	go run ./gateway/cmd/gateway --dev --listen 127.0.0.1:8080 --admin 127.0.0.1:9090

.PHONY: demo
demo: ## Show the whole path on a real cluster: operator, gateway, finance demo, a posted revenue and its event.
	@hack/try/demo

.PHONY: demo-down
demo-down: ## Remove everything that `make demo` made.
	@hack/try/demo-down

.PHONY: image
image: ## Build the images into bin/images without a container engine (ENGINE=docker: into that engine).
	@hack/try/images

.PHONY: e2e
e2e: ## Keep the promises of controllers/e2e on a real node, then take it down (KEEP=1 leaves it up).
	@hack/try/e2e $(RUN)

.PHONY: bench
bench: ## Measure the gateway beside its peers and the floor, ten minutes (QUICK=1: two; SCENARIO=, SERVER=, RECORD=1).
	@hack/bench/run

.PHONY: clients
clients: ## Try the browser client, and clients made by others, on a real gateway: curl, Chromium, Firefox, npm (RUN=pattern: some).
	@hack/clients/run $(if $(RUN),'$(RUN)')

.PHONY: compiler
compiler:
	@command -v gcc >/dev/null || { echo "The race detector needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }

.PHONY: assets
assets:
	@hack/cluster/build kubebox
