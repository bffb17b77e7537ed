# `make help` lists what can be made. Everything is installed into .venv, at the versions of constraints.txt.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow setup format lint types arch dist bench mutants clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup  ## install, get the data, run the example: prune, convert, measure, compare, report
	$(BIN)/edgepress run examples/fashion_mnist/edge.toml

test: setup lint types arch  ## the project's checks; .ci/run calls this
	$(BIN)/pytest -n 3 --dist loadfile

test-slow: setup  ## injected faults at their whole count, and the emulated ARM machine (about an hour)
	scripts/debian_packages emulator
	$(BIN)/pytest --whole -m "whole or faults"

setup: $(VENV)/.installed  ## Debian packages where they may be installed, then everything into .venv

$(VENV)/.installed: pyproject.toml constraints.txt scripts/debian_packages
	@if [ -z "$(PYTHON)" ]; then echo "edgepress needs Python 3.11 or newer: apt-get install python3" >&2; exit 1; fi
	PYTHON=$(PYTHON) scripts/debian_packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[tensorflow,onnx,dev]'
	@# the extra legacy without the package tensorflow, which would lie over tensorflow-cpu
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps tf_keras
	touch $@

format: setup  ## put the source into the project's form
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lint: setup  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy, strict
	$(BIN)/mypy

arch: setup  ## who may import whom
	$(BIN)/lint-imports

dist: setup  ## sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation

bench: setup  ## measure docs/figures.md again: the short ones (some minutes), with WHOLE=1 all of them (hours)
	$(BIN)/python benchmarks/measure_all.py $(if $(WHOLE),--whole)

mutants: setup  ## how many small changes of the source the tests notice (hours; in no CI run)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mutants]'
	$(BIN)/python scripts/mutants.py

clean:  ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info examples/*/.edgepress examples/*/out
