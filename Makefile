# make up       the environment, the default model, and a deployment until Ctrl-C
# make install  the environment and the default model
# make test     the same environment with the test tools; the whole suite
# make test-index  a million operations on the router's index
# make check    ruff and mypy
# make bench    the performance budgets, measured; with REFERENCE=1 beside NVIDIA Dynamo
# make bench-router  what a routing decision costs
# make bench-events  what KV events cost a frontend and its requests
# make bench-scale   what routing and simulating cost as they grow
# make chaos    faults done to a deployment under load, and what its clients see; ARGS names rows
# make soak     the same for 20 minutes with a random fault every 10 s
# make completions  regenerate completions/
# make schema   regenerate the JSON schema of topologies
# make flags    regenerate docs/flags.md

VENV := .venv
BIN := $(VENV)/bin
RECENT := import sys; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c '$(RECENT)' 2>/dev/null && echo $$p && exit; done; echo python3)
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --only-binary=xllamacpp
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
ARGS ?=

.PHONY: up install model test test-index check bench bench-router bench-events bench-scale chaos soak completions schema flags clean

up: install
	@$(BIN)/dynamo up topologies/agg.toml $(ARGS) || { code=$$?; [ $$code = 130 ] || exit $$code; }

install: $(READY) model

model: $(READY)
	@$(BIN)/dynamo pull

test: $(READY_DEV) model
	@$(BIN)/python -m pytest $(ARGS)

test-index: $(READY_DEV)
	@DYN_TEST_INDEX_OPERATIONS=1000000 $(BIN)/python -m pytest --timeout=1200 tests/router/index $(ARGS)

check: $(READY_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

bench: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.budgets $(if $(REFERENCE),--reference) $(ARGS)

bench-router: $(READY)
	@$(BIN)/python -m dynamo_cli.bench.router $(ARGS)

bench-events: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.events $(ARGS)

bench-scale: $(READY)
	@$(BIN)/python -m dynamo_cli.bench.replay.scale $(ARGS)

chaos: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.chaos $(ARGS)

soak: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.chaos soak $(ARGS)

completions: $(READY)
	@for shell in bash zsh fish; do file=completions/dynamo.$$shell; \
	$(BIN)/dynamo completions $$shell > $$file.new && mv $$file.new $$file || exit; done

schema: $(READY)
	@file=dynamo_cli/topology/topology.schema.json; $(BIN)/dynamo topology schema > $$file.new && mv $$file.new $$file

flags: $(READY)
	@file=docs/flags.md; $(BIN)/python -m dynamo_cli.runtime.flags.page > $$file.new && mv $$file.new $$file

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml | $(VENV)/.made
	@echo "installing dynamo with its CPU engine into $(VENV)"
	@$(PIP) --editable '.[cpu]'
	@touch $@

$(READY_DEV): pyproject.toml | $(VENV)/.made
	@echo "installing dynamo with its CPU engine and the test tools into $(VENV)"
	@$(PIP) --editable '.[cpu,dev]'
	@touch $@ $(READY)

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c '$(RECENT)' || { echo "Python 3.10 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); \
	name another one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "python3-venv is missing: sudo apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
