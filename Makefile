.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

PYTHON ?= python3
BIN := .venv/bin
PACKAGE := setup.py $(wildcard source_abandoned_carts/*.py source_abandoned_carts/*.yaml source_abandoned_carts/schemas/*.json)

help:
	@echo "make demo     sync a made-up shop twice and see what comes in"
	@echo "make test     run all tests"
	@echo "make lint     check style and types"
	@echo "make format   rewrite the code in the project's style"
	@echo "make clean    remove what the other commands have made"
	@echo
	@echo "They use python3; for another one: make clean, then make demo PYTHON=python3.12"

demo: .venv/installed
	@$(BIN)/python -m sandbox.demo

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -r {} +

# What is needed, once; then the package itself, as a user would install it, after each change.
.venv/needed: setup.py constraints.txt
	@echo "Setting up .venv: about a minute, once."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[tests,lint]"
	@touch $@

.venv/installed: .venv/needed $(PACKAGE)
	@rm -rf build
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	@touch $@
