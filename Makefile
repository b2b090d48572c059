# make tables   set up .venv and make all tables of the scale in params.yaml
# make test     set up .venv and run all checks; what CI runs
# make verify   make scale smoke twice, on one core and on two, and compare: fourteen minutes, nothing left behind
# make kills    make scale smoke undisturbed, and killed forty times, and compare; nothing left behind
# make slurm    run scale smoke through a real Slurm on this machine, which it installs (root, Debian's packages): half an hour on two busy cores
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY := PASSIVE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: tables test slurm check verify kills bench lint setup clean

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

test: setup
	@$(MAKE) --no-print-directory -j2 lint .cache/moto/.done
	@$(BIN)/python -m pytest

# An S3 server on loopback, for the tests alone; its pins and those of requirements.lock do not go together.
.cache/moto/.done: tests/moto.lock .venv/.done
	@$(BIN)/python -m venv --clear --without-pip .cache/moto
	@$(BIN)/python -m pip --python .cache/moto/bin/python install --quiet --disable-pip-version-check --no-deps -r tests/moto.lock
	@touch $@

slurm: setup
	@DIFFTABLES_SLURM=1 $(BIN)/python -m pytest -rs tests/flow/test_slurm.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check src tests
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/mypy
	@$(BIN)/snakemake --lint

check: setup
	@$(BIN)/python -m difftables check

KEPT := Snakefile dvc.yaml params.yaml scales workflow profiles src requirements.lock pyproject.toml

verify: setup
	@set -e; made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	for cores in 1 2; do \
	  mkdir $$made/$$cores; cp -R $(KEPT) $$made/$$cores; \
	  (cd $$made/$$cores && PYTHONPATH=$$made/$$cores/src python -m snakemake --cores $$cores --config scale=smoke) > $$made/log 2>&1 \
	    || { tail -n 30 $$made/log >&2; exit 1; }; \
	done; \
	cd $$made/1; PYTHONPATH=$$made/1/src python -m difftables verify results/smoke ../2/results/smoke

kills: setup
	@set -e; made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	for name in calm killed; do mkdir $$made/$$name; cp -R $(KEPT) $$made/$$name; done; \
	(cd $$made/calm && PYTHONPATH=$$made/calm/src python -m snakemake --cores 2 --config scale=smoke) > $$made/log 2>&1 \
	  || { tail -n 30 $$made/log >&2; exit 1; }; \
	python tests/kills.py --kills 40 --cores 2 $$made/killed || { tail -n 30 $$made/killed/kills.log >&2; exit 1; }; \
	cd $$made/calm; PYTHONPATH=$$made/calm/src python -m difftables verify results/smoke ../killed/results/smoke

bench: setup
	@$(BIN)/python tests/bench.py
	@$(BIN)/python tests/bench_field.py

clean:
	rm -rf .venv .cache
