# netsetgo: what there is to make. `make` alone lists it.

PREFIX ?= /usr/local
LINTER := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Go stamps the version from git by itself; without a checkout, or with one that
# git won't read for this user, the build would fail over it.
BUILDVCS = $(shell git status >/dev/null 2>&1 && echo true || echo false)

# What sudo and su leave out: Go's usual folder, and that of ip and runc.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: build install test runtimes fuzz vm vm-all lint bench faults soak generate readme demo clean help

build: ## build bin/netsetgo, a static binary, with manual and completions
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(BUILDVCS) -o bin/netsetgo ./cmd/netsetgo
	@env -u GOOS -u GOARCH go run ./cmd/netsetgo man >bin/netsetgo.8
	@env -u GOOS -u GOARCH go run ./cmd/netsetgo completions >bin/netsetgo.bash

install: ## copy them below /usr/local (PREFIX=/usr, DESTDIR=...)
	@test -x bin/netsetgo || { echo "first: make build" >&2; exit 1; }
	install -D -m 0755 bin/netsetgo $(DESTDIR)$(PREFIX)/bin/netsetgo
	install -D -m 0644 bin/netsetgo.8 $(DESTDIR)$(PREFIX)/share/man/man8/netsetgo.8
	install -D -m 0644 bin/netsetgo.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/netsetgo

test: ## run every test: root for all of them; installs what they need by apt-get
	@ci/test.sh

runtimes: ## run the tests in which runc, crun and podman call netsetgo (root)
	@[ "$$(id -u)" = 0 ] || { echo "make runtimes needs root" >&2; exit 1; }
	@ci/runtimes.sh

fuzz: ## try what nobody thought of, on all that reads (FUZZTIME=30s: for so long each)
	@ci/fuzz.sh

lint: ## look for faults in the code, as .golangci.yml says
	go run $(LINTER) run

bench: build ## measure what netsetgo costs, beside others, into ci/bench/RESULTS.md (root; BENCH=-check: a part of it)
	@[ "$$(id -u)" = 0 ] || { echo "make bench needs root" >&2; exit 1; }
	@ci/packages.sh busybox-static containernetworking-plugins gcc iproute2 iptables libc6-dev runc util-linux
	go run ./ci/bench $(BENCH)

faults: build ## put a fault into every call to the kernel (root; FAULTS=-sample: a part of all)
	@[ "$$(id -u)" = 0 ] || { echo "make faults needs root" >&2; exit 1; }
	@ci/packages.sh iproute2 nftables
	go run ./ci/faults -selftest
	go run ./ci/faults $(FAULTS)

soak: build ## let containers come and go at random for a minute (root; SOAK='-for 10m': longer, SOAK='-seed N': again)
	@[ "$$(id -u)" = 0 ] || { echo "make soak needs root" >&2; exit 1; }
	@ci/packages.sh iproute2 nftables
	go run ./ci/soak -selftest
	go run ./ci/soak $(SOAK)

vm: ## run specs of what kernels differ in and of runtimes, and some of the faults, on Debian's kernel 6.1, in QEMU (root; ci/vm/run.sh: others, there)
	@ci/vm/selftest.sh
	@printf '%s\n' specs faults | xargs -P "$$(nproc)" -I{} ci/vm/run.sh -o {} 6.1

vm-all: ## run all specs that need root but the longest, and a part of the faults, on every kernel from 5.10 on (root; takes an hour and a half; VM='5.10 6.1': on these)
	@ci/vm/selftest.sh
	@printf '%s\n' $(or $(VM),5.10 6.1 6.12 newest) | xargs -P "$$(nproc)" -n 1 ci/vm/run.sh -a

generate: ## make the fakes anew
	go generate ./...

readme: build ## run the README's console sessions and write down what they print (root)
	@[ "$$(id -u)" = 0 ] || { echo "make readme needs root" >&2; exit 1; }
	@ci/packages.sh iproute2 util-linux
	go run ./ci/readme

demo: ## connect two containers and take them down again, step by step (root)
	@ci/demo.sh

clean: ## remove what was built
	rm -rf bin

help: ## list all this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
