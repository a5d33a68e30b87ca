# Two commands do everything on a fresh machine: `make run` and `make test`. A change of one package:
# `make quick PKG=planning`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two stamps: `make run` needs no tools of development.
RUN    := $(VENV)/.runnable
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Where nothing compiled is kept, each of the thousands of commands that tests start compiles anew.
export PYTHONDONTWRITEBYTECODE :=
# One more than the two cores of a small machine: many tests wait for a process or a time limit.
JOBS   ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup run test quick check lint types layers test-heavy crash bench docs clean

help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## install into .venv, with all tools of development

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "stoa-gitops needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@

run: $(if $(wildcard $(STAMP)),$(STAMP),$(RUN)) ## validate, plan and apply the example catalog, and serve its APIs until Ctrl-C
	@ACME_MOBILE_KEY="$${ACME_MOBILE_KEY:-a-key-to-try-it-out}" \
		exec $(BIN)/stoa-gitops run --catalog catalog-example --state .state

test: $(STAMP) ## the whole test suite; no root, no network services
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadgroup -m 'not heavy'

quick: $(STAMP) ## the tests of one package, in seconds: make quick PKG=planning
	@$(BIN)/python -m tests.quick '$(PKG)'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

check: lint types layers test ## what CI runs, but for the heavy tests

test-heavy: $(STAMP) ## tests that install or start a heavier real component; laws at length
	$(BIN)/pytest --numprocesses 2 --dist loadgroup -m heavy
	$(BIN)/pytest --numprocesses $(JOBS) -m 'hypothesis and not heavy' --hypothesis-profile=full

crash: $(STAMP) ## 200 kill -9 at random moments; CRASH_SEED repeats a run
	$(BIN)/pytest -m heavy tests/crash -s

bench: $(STAMP) ## the benchmarks, each beside its peer
	$(BIN)/python -m benchmarks

docs: $(STAMP) ## the site, into build/site; runs the commands that its pages show, and checks its links
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean

clean: ## remove what was installed and built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
