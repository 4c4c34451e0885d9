# Everything sets itself up: `make demo` and `make test` work on a fresh clone. GNU make 3.81 and up.
PYTHON ?= python3
VENV ?= .venv
SHOP ?=
ARGS ?=

RUN := $(VENV)/bin/python
RUNTIME := $(VENV)/.runtime-ready
DEV := $(VENV)/.dev-ready

# each of many processes would compile everything anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo run postgresql test fuzz replay chaos cluster bench check format generate histories screenshots requirements clean

help: ## this list
	@echo "Casework: make TARGET"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@echo "Other settings: PYTHON=python3.12, VENV=.venv, ARGS=\"more arguments for the program\""

setup: $(DEV) ## all that the other targets need; each of them also sets itself up
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program

demo: $(RUNTIME) ## cases of all five flows on a real Temporal server, some left for you; SHOP=FOLDER takes your own export
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	@$(RUN) -m casework.demo $(if $(SHOP),--shop "$(SHOP)") $(ARGS)

run: $(RUNTIME) ## the case desk: Temporal server and its UI, worker, shop, until Ctrl-C (casework up)
	@$(RUN) -m casework up $(ARGS)

# One Temporal server, and two processes a core, as a part of each test is waiting for it; ARGS=-n0 for all in one.
SHARED := --numprocesses $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN)) --maxprocesses 8 --dist worksteal

postgresql: $(DEV) ## PostgreSQL for the tests: looked for, and as root on Debian installed
	@echo "✓ Python environment"
	@$(RUN) -m tests.postgresql

test: $(DEV) ## all tests, on a real Temporal server, the shop's on SQLite and on PostgreSQL
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	@$(RUN) -m tests.postgresql || true
	@$(RUN) -m pytest $(SHARED) $(ARGS)

fuzz: $(DEV) ## 10,000 hostile inputs each for importers, policy, staff, batches, starts, signals, updates; random walks
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	CASEWORK_FUZZ_EXAMPLES=10000 CASEWORK_WALKS=40 $(RUN) -m pytest tests/fuzz tests/walking/test_random.py \
		$(SHARED) --timeout 3600 $(ARGS)

# What runs on the tests' own worker, but for the refusals: so many messages at once outlast a task without a cache.
replay: $(DEV) ## the tests of workflows once more, where every workflow task replays from the beginning
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	CASEWORK_TEST_CACHED_WORKFLOWS=0 $(RUN) -m pytest tests/workflows tests/races tests/cli tests/walking/test_walk.py \
		tests/test_no_personal_data.py $(SHARED) $(ARGS)

chaos: $(DEV) ## 500 cases of all flows while workers, server, database are killed, an audit; ARGS="--seed 7" for one plan again
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	@$(RUN) -m chaos $(ARGS)

cluster: $(DEV) ## the same, shorter, on a real cluster: temporal-server on PostgreSQL, built with Go once
	@echo "✓ Python environment"
	@$(RUN) -m chaos --cluster --cases 60 --kills 12 $(ARGS)

bench: $(DEV) ## what a case costs against bare Temporal, on PostgreSQL, watched, with two workers; an hour, Ctrl-C keeps what there is
	@echo "✓ Python environment"
	@$(RUN) -m casework.server_program --own
	@$(RUN) -m bench $(ARGS)
	@$(if $(ARGS),,$(RUN) -m bench.metrics && $(RUN) -m bench.engines && $(RUN) -m bench.cluster)

check: $(DEV) ## layout, lint, types, nothing generated stale, no recorded history changed
	@echo "✓ Python environment"
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright --pythonpath $(RUN)
	$(RUN) -m casework.generate --check
	$(RUN) -m tests.history_register

format: $(DEV) ## lay the code out and mend what the linter can
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

generate: $(RUNTIME) ## diagrams and tables, from the state machines
	$(RUN) -m casework.generate $(ARGS)

PIN := $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make requirements"

histories: $(DEV) ## record a history of every ending that has none (a broken old one needs a named change: docs/changing-a-flow.md)
	@$(RUN) -m casework.server_program --own
	CASEWORK_RECORD_HISTORIES=1 $(RUN) -m pytest tests/walking/test_walk.py $(ARGS)

screenshots: $(RUNTIME) ## take the documentation's pictures of the Temporal UI anew (needs chromium)
	@$(RUN) -m casework.server_program --own
	$(RUN) scripts/screenshots.py

requirements: $(DEV) ## pin anew what pyproject.toml asks for; ARGS=--upgrade takes the newest
	$(PIN) $(ARGS) --group build --output-file requirements/runtime.txt pyproject.toml
	$(PIN) $(ARGS) --group build --group dev --constraint requirements/runtime.txt \
		--output-file requirements/dev.txt pyproject.toml

clean: ## remove the environment and caches, never your data in .casework
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Any Python can run this, down to 2.7, and an old one says so.
OLD_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d is too old: Casework needs 3.11 or \
	newer, named as in make PYTHON=python3.12." % sys.version_info[:2])

$(RUNTIME): requirements/runtime.txt pyproject.toml scripts/setup.py
	@command -v "$(PYTHON)" > /dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with PYTHON=." >&2; exit 1; }
	@"$(PYTHON)" -c '$(OLD_ENOUGH)'
	@"$(PYTHON)" scripts/setup.py "$(VENV)" runtime

$(DEV): requirements/dev.txt $(RUNTIME)
	@"$(PYTHON)" scripts/setup.py "$(VENV)" dev
