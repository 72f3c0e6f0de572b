# Millrace's build. Needs Go 1.26 and git; what tests, lint and demo need
# besides is installed or built on first use (see scripts/).

SHELL := /bin/bash
GO    ?= go
# The version is git's description of the checkout, or "dev" without git.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The NVIDIA driver's header marks some of its functions as deprecated; C's own
# warnings about them say nothing of our code.
export CGO_CFLAGS ?= -g -O2 -Wno-deprecated-declarations
# Everything is compiled as what we deliver is, and so only once; what is compiled
# doesn't depend on where the checkout lies.
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell $(GO) env GOFLAGS)) -trimpath)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := build
.PHONY: build test race chaos lint bench demo image-check generate clean help

build: ## build bin/millrace
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/millrace ./cmd/millrace

# The program under test is the one that is delivered.
test: build ## install what the tests need and run them
	scripts/need.sh ffmpeg versitygw chromium network
	scripts/fetch-media.sh
	MILLRACE_BINARY=$(CURDIR)/bin/millrace $(GO) test -timeout 20m -p $(ROOMS_AT_ONCE) $(LONGEST) $$($(GO) list ./... | grep -v -x $(LONGEST:./%=-e millrace/%))

# The rooms whose tests take longest start first. Most wait more than they
# compute: for elections, leases, time-outs, the disk.
LONGEST := ./systemtest ./clustertest ./media ./cluster ./bench
ROOMS_AT_ONCE := $(shell echo $$((3 * $$(nproc 2>/dev/null || echo 2))))

# The system tests, the history of a cluster and the rooms, at once. Left out are
# rooms that start no goroutine, and tests that differ from those that run by
# what ffmpeg does: that has no races of ours.
race: ## under the race detector: every room, and a peer that is killed, drained and cancelled
	scripts/need.sh ffmpeg versitygw network cc
	scripts/fetch-media.sh
	$(RACE) $(GO) build -race -o bin/millrace-race ./cmd/millrace
	$(MAKE) --no-print-directory --output-sync=target -j race-systemtest race-clustertest race-rooms

# A peer that finds a race exits with 66.
RACE := CGO_ENABLED=1 MILLRACE_BINARY=$(CURDIR)/bin/millrace-race
.PHONY: race-systemtest race-clustertest race-rooms
race-systemtest:
	$(RACE) $(GO) test -race -timeout 20m -run 'Killed|SIGTERM|Cancelling|EventStream' ./systemtest
race-clustertest:
	$(RACE) $(GO) test -race -timeout 20m -run 'OneHistory' ./clustertest
race-rooms:
	@! grep -nE '(^|\s)go (func\b|[a-zA-Z.]+\()|\.Go\(' $(SEQUENTIAL:%=%/*.go) || { echo 'their rooms belong no more into SEQUENTIAL' >&2; exit 1; }
	$(RACE) $(GO) test -race -timeout 20m -p $(ROOMS_AT_ONCE) -skip '$(FFMPEGS)' $$($(GO) list ./... | grep -v -e /systemtest -e /clustertest$$ -e /bench $(SEQUENTIAL:%=-e /%$$))
SEQUENTIAL := scheduler job media/cmaf media/playlist
FFMPEGS := CutExactly|StaysInSync|BadInput|EditListSays|ItsOwnLength|StandsUpright|EachPipelineMakes|DamageWithin|CutAndDelayed|EachOptionWePass|ProbeSaysWhatWorks

# The first also holds the product to its times, so nothing else should run.
chaos: ## kill, freeze and cut off peers while jobs run: make chaos [DURATION=10m] [SEED=n]
	scripts/need.sh ffmpeg versitygw network
	$(GO) test -count=1 -timeout 30m -v -run 'Whoever' ./clustertest -bounds
	$(GO) test -count=1 -timeout 0 -v -run 'TestChaos$$' ./clustertest -chaos.for $(or $(DURATION),10m) -chaos.seed $(or $(SEED),0)

lint: ## formatting, vet, static analysis, known vulnerabilities, generated files
	scripts/lint.sh

bench: build ## time jobs against plain ffmpeg on this machine: make bench [CLIP=path]
	scripts/bench.sh $(if $(CLIP),'$(subst ','\'',$(CLIP))')

demo: build ## run one job on a real clip: make demo [VIDEO=path-or-url]
	scripts/demo.sh $(if $(VIDEO),'$(subst ','\'',$(VIDEO))')

image-check: ## run the images' build steps without a container engine (root, debootstrap)
	scripts/image-check.sh

generate: ## write generated files anew
	$(GO) generate ./...

clean: ## remove what was built here (the user's cache folder stays)
	rm -rf bin demo-out .tools

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
