.DEFAULT_GOAL := help
.PHONY: help demo picture sync sandbox probe test chaos image bench load lint format clean

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
CONFIG ?= secrets/config.json
# Not in pyproject.toml, because `airbyte-cdk connector test` would use them, too.
PYTEST_OPTIONS := --numprocesses auto --dist worksteal --durations 5 \
	-W error -W "ignore:This class is experimental:DeprecationWarning" # raised by the CDK
PACKAGE := setup.py $(wildcard source_abandoned_carts/*.py source_abandoned_carts/*.yaml source_abandoned_carts/schemas/*.json)

help:
	@echo "make demo     sync a made-up shop twice into a database, and draw a picture"
	@echo "make picture  run make demo, and update the README's picture"
	@echo "make sync     sync your own shop: [CONFIG=secrets/config.json] [TO=duckdb:///PATH]"
	@echo "              [TO=postgresql://USER@HOST/DATABASE] [TO=bigquery] [STREAMS=cart_stats]"
	@echo "              [PICTURE=carts.png]"
	@echo "make sandbox  serve both APIs of a made-up shop, and print how to sync it"
	@echo "make probe    find out what the APIs' documentation does not specify [CONFIG=secrets/config.json]"
	@echo "make test     run all tests"
	@echo "make image    build the Docker image and test it against the sandbox"
	@echo "make chaos    sync while everything fails at random (a few minutes) [RUNS=30] [SEED=17]"
	@echo "make bench    measure speed and memory for tools/benchmarks/RESULTS.md (eight minutes)"
	@echo "make load     sync 500,000 carts and ten years of days (ten minutes)"
	@echo "make lint     check style and types"
	@echo "make format   rewrite the code in the project's style"
	@echo "make clean    remove the files that the other commands created"
	@echo
	@echo "The commands use python3. To use another: make clean, then make demo PYTHON=python3.12"

demo: .venv/installed
	@$(BIN)/python -m sync.demo

picture: demo
	@cp demo/abandoned_carts.png docs/demo.png

sync: .venv/installed
	@$(BIN)/python -m sync --config "$(CONFIG)" $(if $(TO),--to "$(TO)") \
		$(if $(STREAMS),--streams "$(STREAMS)") $(if $(PICTURE),--picture "$(PICTURE)")

sandbox: .venv/installed
	@$(BIN)/python -m tools.sandbox

probe: .venv/installed
	@$(BIN)/python -m tools.probe --config "$(CONFIG)"

test: .venv/installed
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

chaos: .venv/installed
	@$(BIN)/python -m tools.chaos $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

image: .venv/installed
	docker build --tag airbyte/source-abandoned-carts:dev .
	IMAGE=airbyte/source-abandoned-carts:dev $(BIN)/python -m pytest integration_tests/test_image.py

bench: .venv/installed
	@$(BIN)/python -m tools.benchmarks

load: .venv/installed
	@$(BIN)/python -m tools.benchmarks.load

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .tmp .hypothesis demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -r {} +

# The dependencies are installed once. The package is installed again after each change to it.
.venv/needed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 14) else \
		"$(PYTHON) is Python " + sys.version.split()[0] + ". Use 3.10 to 3.13: make PYTHON=python3.12 …")'
	@echo "Installing into .venv, which takes less than a minute, once."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install --constraint constraints.txt uv
	@$(INSTALL) --constraint constraints.txt ".[sync,tests,lint]"
	@touch $@

.venv/installed: .venv/needed $(PACKAGE)
	@rm -rf build
	@$(INSTALL) --no-deps --reinstall-package source-abandoned-carts .
	@touch $@
