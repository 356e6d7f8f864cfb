# Verbs for people. The work is done by meson, ninja, scripts/ and observa; `make help` lists them.
#
#   STATE_DIR=DIR   where an installation keeps everything (default: a folder of this checkout's own)
#   PORT=NUMBER     where its control gateway listens (default 8080, or the next free one; 0: any)

BUILD ?= build
ifneq ($(STATE_DIR),)
override STATE_DIR := $(abspath $(STATE_DIR))
endif
export STATE_DIR PORT

observa = $(BUILD)/src/cli/observa

.DEFAULT_GOAL := help
.PHONY: help up down status demo doctor test bench lint fuzz build stage install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: install stage ## install what is missing, build, start everything, wait until it is ready
	@$(observa) up

down: ## stop everything
	@if [ -x $(observa) ]; then $(observa) down; else echo "Nothing was built here, so nothing runs."; fi

status: $(BUILD)/build.ninja ## every process: its state, restarts, CPU, memory
	@$(observa) status

doctor: $(BUILD)/build.ninja ## look for what could be wrong
	@$(observa) doctor

demo: $(BUILD)/build.ninja ## place an order in the shop and follow it until it is fulfilled
	@$(observa) demo

test: ## install what is missing, build, run all tests
	@scripts/install runtime build test
	@BUILD=$(BUILD) scripts/test

bench: build ## measure: figures as tables, each beside a peer where there is one
	@scripts/install bench
	@BUILD=$(BUILD) scripts/bench

lint: ## formatting, layers, static analysis
	@scripts/install build test
	@scripts/lint

fuzz: ## run each fuzz target for a fixed number of runs
	@scripts/install build test
	@scripts/fuzz

build: install $(BUILD)/build.ninja ## compile
	@ninja -C $(BUILD) -n | grep -q 'no work to do' || { echo Building; ninja -C $(BUILD) --quiet; }

clean: down ## stop everything, forget what was built (data stays)
	@rm -rf $(BUILD) build-*

install:
	@scripts/install

stage: build
	@scripts/stage $(BUILD)

$(BUILD)/build.ninja:
	@scripts/install
	@meson setup $(BUILD) --prefix=/ >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt >&2; exit 1; }
