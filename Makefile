# make tables   set up .venv and make all tables of the scale in params.yaml
# make test     set up .venv and run all checks; what CI runs
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY := PASSIVE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: tables test check bench lint setup clean

tables: setup
	@$(BIN)/snakemake
	@$(BIN)/python -m difftables where

setup: .venv/.done

.venv/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "difftables needs Python 3.11 (make PYTHON=python3.11 ...); this is $$($(PYTHON) --version)" >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, os; raise SystemExit(not any(map(shutil.which, [os.environ.get("CC", "cc"), "gcc", "clang"])))' || { echo "pesq is built from source and needs a C compiler: install gcc or clang (apt install gcc; xcode-select --install) and run make again" >&2; exit 1; }
	@echo "setting up .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: setup lint
	@$(BIN)/python -m pytest

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check src tests
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/mypy
	@$(BIN)/snakemake --lint

check: setup
	@$(BIN)/python -m difftables check

bench: setup
	@$(BIN)/python tests/bench.py
	@$(BIN)/python tests/bench_field.py

clean:
	rm -rf .venv .cache
