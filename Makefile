# Everything a developer does, from nothing: Python 3.11+, a Rust toolchain with a C compiler, make.
# Two builds share one .venv. `run` serves the release profile, because it is the product; `test` uses the dev profile,
# because it is ready in a third of the time. PROFILE=dev make run (or PROFILE=release make test) overrides either.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
export PATH := $(PATH):$(HOME)/.cargo/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
PY := $(VENV)/bin/python
RUN_PROFILE := $(or $(PROFILE),release)
TEST_PROFILE := $(or $(PROFILE),dev)
RUST_SOURCES := $(shell find src -type f) Cargo.toml Cargo.lock .cargo/config.toml
NODE_LOCK := $(wildcard tests/node/package-lock.json)
NODE_DEPS := $(and $(shell command -v npm),$(NODE_LOCK),tests/node/node_modules/.package-lock.json)
# The core without Python: needs no libpython to link against, and proves that the core does not know Python.
CARGO_TEST := cargo test --locked --no-default-features

say = @printf '\033[1m==> %s\033[0m\n' "$(1)"

.PHONY: help run build test test-rust test-python simulate lint format bench clean note-node

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.installed-$(RUN_PROFILE) ## Build and serve; without any provider key the scripted twin answers (ARGS="--port 9000")
	$(VENV)/bin/gotoai serve --twin-if-empty $(ARGS)

build: $(VENV)/.installed-$(RUN_PROFILE) ## Build the native module into .venv

test: lint test-rust test-python ## Install all that the tests need and run them all

test-rust: ## The Rust tests, the source-tree test among them
	$(call say,cargo test)
	$(CARGO_TEST)

test-python: $(VENV)/.installed-$(TEST_PROFILE) $(VENV)/.tools $(NODE_DEPS) note-node ## The Python tests and the stub check (ARGS="-k wallet")
	$(call say,stubs against the native module)
	$(PY) -m mypy.stubtest gotoai._core --mypy-config-file pyproject.toml --allowlist tests/python/stubtest_allowlist.txt
	$(call say,pytest)
	$(PY) -m pytest $(ARGS)

simulate: $(VENV)/.installed-$(RUN_PROFILE) ## Simulate for longer than `make test` does (SEED=1 SEEDS=20000)
	$(call say,histories by chance)
	$(VENV)/bin/gotoai sim --seed $(or $(SEED),1) --seeds $(or $(SEEDS),20000)
	$(call say,a crash at every point)
	$(VENV)/bin/gotoai sim --seed $(or $(SEED),1) --seeds $$(( $(or $(SEEDS),20000) / 20 + 1 )) --enumerate

lint: $(VENV)/.installed-$(TEST_PROFILE) $(VENV)/.tools ## Formatters in check mode, clippy, ruff, mypy
	$(call say,formatting and lints)
	cargo fmt --check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	PYO3_PYTHON=$(CURDIR)/$(PY) cargo clippy --locked --all-targets -- -D warnings

format: $(VENV)/.tools ## Rewrite sources into the house style
	cargo fmt
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

bench: ## Measure against a bare proxy; prints money off and money on (ARGS go to the harness)
	scripts/bench $(ARGS)

clean: ## Remove everything that was built or installed here
	rm -rf $(VENV) target tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f python/gotoai/_core*.so

# --- Stamps: nothing is built or installed twice.

$(VENV)/.created:
	$(call say,virtual environment)
	python="$$(scripts/require-tools)" && "$$python" -m venv $(VENV)
	$(PY) -m pip install --quiet 'pip>=25.1' 'maturin>=1.16,<2'
	@touch $@

$(VENV)/.tools: pyproject.toml $(VENV)/.created
	$(call say,test and lint tools)
	$(PY) -m pip install --quiet --group test --group lint
	@touch $@

# The native module lies in one place, so the stamp of the profile built last is the only one that stays.
$(VENV)/.installed-%: $(RUST_SOURCES) pyproject.toml $(VENV)/.created
	$(call say,native module ($*))
	@scripts/require-tools >/dev/null
	@rm -f $(VENV)/.installed-*
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --locked --profile $*
	@touch $@

tests/node/node_modules/.package-lock.json: $(NODE_LOCK)
	$(call say,Node SDK for the compatibility test)
	cd tests/node && npm ci --no-audit --no-fund
	@touch $@

note-node:
	@$(if $(NODE_DEPS),,printf 'note: no node and npm here (or no tests/node): the test of the Node SDK will be skipped\n')
