# Preread. `make help` lists the commands.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo run test test-trixie locks lint types unit integration bench bench-deidentify docs installed clean

# What the demonstration takes from the environment or the command line.
export DICOM HTTP_PORT DICOM_PORT

python := .venv/bin/python
# Each file in one process of several, in the order of tests/order.py. The processes share the cores:
# each computes in one thread, since several would spin while they wait for their turn. No limit of
# OpenMP does that: a kernel that has asked for two threads waits for ever for the second.
pytest := OMP_NUM_THREADS=1 $(python) -m pytest --dist loadfile --no-loadscope-reorder

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

install: ## what `make demo` and `make run` need, and no more
	@.ci/setup demo

demo: ## install, start Orthanc, send images, show what was read, stop (DICOM=folder HTTP_PORT= DICOM_PORT=)
	@.ci/setup demo
	@$(python) -m preread.demo show

run: ## install, start Orthanc and keep it serving (end with Ctrl-C)
	@.ci/setup demo
	@$(python) -m preread.demo serve

# In one run: while one test waits for an Orthanc or a browser, another computes.
test: lint types ## install, then lint, types and all tests
	$(pytest) -n 5

# Of this checkout, in a folder that debootstrap makes; needs root.
test-trixie: ## all tests on Debian 13 (Orthanc 1.12.7, Python 3.13)
	@.ci/trixie .ci/trixie-tests all

locks: installed ## write the lock files anew
	@.ci/lock

lint: installed ## ruff
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: installed ## mypy --strict
	.venv/bin/mypy

# Most of these compute in one thread.
unit: installed ## the tests that need neither Orthanc nor Docker
	$(pytest) -n auto --maxprocesses 4 -m "not orthanc and not docker and not postgres"

# Half of their time they wait for an Orthanc or a browser.
integration: installed ## the tests with a real Orthanc, a real PostgreSQL, the container image
	$(pytest) -n 4 -m "orthanc or docker or postgres" tests

bench: installed ## the speed figures of the README
	@for part in $$(grep -l '^if __name__' bench/*.py); do \
	  $(python) -m bench.$$(basename $$part .py) || exit 1; \
	done

bench-deidentify: installed ## de-identifiers side by side: speed, what is left, what is obeyed
	$(python) -m bench.deidentify

docs: installed ## write docs/settings.md and docs/deidentification.md anew
	.venv/bin/preread settings > docs/settings.md
	$(python) -m preread.deidentify.reference > docs/deidentification.md

installed:
	@.ci/setup test

clean: ## remove the virtual environment and caches (data and keys in var/ stay)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build
	find plugin tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
