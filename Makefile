# make tables   set up .venv and make all tables of the scale in params.yaml
# make test     set up .venv and run all checks; what CI runs
# make verify   make scale smoke twice, on one core and on two, and compare; nothing left behind
# make kills    make scale smoke undisturbed, killed twenty times on one core and forty times on two, and compare; nothing left behind
# make bench    measure this code beside the field's and write results/bench/README.md; five minutes on one idle core
# make lock     write requirements.lock and tests/moto.lock for what pyproject.toml declares; LOCK=--upgrade takes the newest versions
# make slurm    run scale smoke through a real Slurm on this machine, which it installs (root, Debian's packages): half an hour on two busy cores
SHELL := /bin/bash
# Versions that the tests have run on. Without PYTHON=..., setup takes the first of these commands that is one of them.
SUPPORTED := 3.11 3.12 3.13
IS_SUPPORTED := import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])
ifeq ($(origin PYTHON), undefined)
PYTHON := $(firstword $(shell for each in python3 $(SUPPORTED:%=python%); do $$each -c '$(IS_SUPPORTED)' $(SUPPORTED) 2> /dev/null && echo $$each; done; true) python3)
endif
BIN := .venv/bin
# Of the tests. One more than two cores keep busy: some tests wait for others' processes.
WORKERS := 3
export OMP_WAIT_POLICY := PASSIVE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: tables test lock slurm check verify kills bench lint setup clean

tables: setup
	@$(BIN)/snakemake
	@$(BIN)/python -m difftables where

setup: .venv/.done

.venv/.done: requirements.lock pyproject.toml
	@$(PYTHON) -c '$(IS_SUPPORTED)' $(SUPPORTED) 2> /dev/null || { echo "difftables needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is $$($(PYTHON) --version 2> /dev/null || echo missing): install one of them and run make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, os; raise SystemExit(not any(map(shutil.which, [os.environ.get("CC", "cc"), "gcc", "clang"])))' || { echo "pesq is built from source and needs a C compiler: install gcc or clang (apt install gcc; xcode-select --install) and run make again" >&2; exit 1; }
	@echo "setting up .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test: setup
	@$(MAKE) --no-print-directory -j2 lint .cache/moto/.done
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# An S3 server on loopback, for the tests alone; its pins and those of requirements.lock do not go together.
.cache/moto/.done: tests/moto.lock .venv/.done
	@$(BIN)/python -m venv --clear --without-pip .cache/moto
	@$(BIN)/python -m pip --python .cache/moto/bin/python install --quiet --disable-pip-version-check --no-deps -r tests/moto.lock
	@touch $@

# uv resolves for the supported Pythons, Linux and macOS at once, and keeps the versions that the old file has. setup installs with pip.
UV := .cache/uv-0.13.9
$(UV)/bin/uv:
	@$(PYTHON) -m venv $(UV)
	@$(UV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV:.cache/uv-%=%)

COMPILE := $(UV)/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version $(firstword $(SUPPORTED)) \
  --annotation-style line --custom-compile-command "make lock"

lock: $(UV)/bin/uv
	@$(COMPILE) $(LOCK) --all-extras --output-file requirements.lock pyproject.toml
	@$(COMPILE) $(LOCK) --group moto --output-file tests/moto.lock

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
	for name in calm 1 2; do mkdir $$made/$$name; cp -R $(KEPT) $$made/$$name; done; \
	(cd $$made/calm && PYTHONPATH=$$made/calm/src python -m snakemake --cores 2 --config scale=smoke) > $$made/log 2>&1 \
	  || { tail -n 30 $$made/log >&2; exit 1; }; \
	for cores in 1 2; do \
	  python tests/kills.py --kills $$((20 * cores)) --cores $$cores $$made/$$cores || { tail -n 30 $$made/$$cores/kills.log >&2; exit 1; }; \
	  (cd $$made/calm; PYTHONPATH=$$made/calm/src python -m difftables verify results/smoke ../$$cores/results/smoke); \
	done

bench: setup .cache/bench/.done
	@PYTHONPATH=tests $(BIN)/python -m bench

# What is compared with: imported after the packages of .venv, and by `make bench` only.
.cache/bench/.done: tests/bench/requirements.txt .venv/.done
	@$(BIN)/python -m venv --clear --without-pip .cache/bench
	@$(BIN)/python -m pip --python .cache/bench/bin/python install --quiet --disable-pip-version-check --no-deps -r tests/bench/requirements.txt
	@touch $@

clean:
	rm -rf .venv .cache
