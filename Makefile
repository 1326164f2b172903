.DEFAULT_GOAL := help
.PHONY: help demo picture sync sandbox probe test test-slow clients test-bigquery chaos image bench load lint format lock newest clean

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
CONFIG ?= secrets/config.json
$(foreach name,to config streams picture,$(if $(filter command line,$(origin $(name))),\
	$(error Write $(name)= in capital letters)))
# The two warnings come from the CDK, and from its dependency backoff on Python 3.14.
# Not in pyproject.toml, because `airbyte-cdk connector test` would use them, too.
PYTEST_OPTIONS := --numprocesses auto --dist worksteal --durations 5 \
	-W error -W "ignore:This class is experimental:DeprecationWarning" \
	-W "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"
# With the folders, because a file can be removed.
FILES := setup.py metadata.yaml $(wildcard source_abandoned_carts source_abandoned_carts/schemas \
	source_abandoned_carts/*.py source_abandoned_carts/*.yaml source_abandoned_carts/schemas/*.json)
# constraints.txt has the versions that CI installs. requirements.txt has those of the image, with hashes.
# A version must have been on PyPI for a week, so that a compromised one is probably found before it is used.
COOLDOWN ?= 7 days
LOCK = $(BIN)/uv pip compile setup.py --universal --quiet --custom-compile-command "make lock" \
	--exclude-newer "$(COOLDOWN)"
# The image leaves out the CDK's dependencies for files, low-code and Google's secrets, which are three
# quarters of its dependencies by size. This connector does not use them. A test reads without them.
NOT_IN_IMAGE := pandas numpy tzlocal dateparser regex nltk joblib tqdm rapidfuzz unidecode boltons \
	google-cloud-secret-manager google-api-core google-auth googleapis-common-protos \
	grpc-google-iam-v1 grpcio grpcio-status proto-plus protobuf pyasn1 pyasn1-modules rich rich-click click \
	pygments markdown-it-py mdurl wcmatch bracex python-ulid setuptools

help:
	@echo "make demo     sync a made-up shop twice into a database, and draw a picture"
	@echo "make picture  run the demo with a fixed date, and update the README's picture"
	@echo "make sync     sync your own shop: [CONFIG=secrets/config.json] [TO=duckdb:///PATH]"
	@echo "              [TO=postgresql://USER@HOST/DATABASE] [TO=bigquery] [STREAMS=cart_stats]"
	@echo "              [PICTURE=carts.png]"
	@echo "make sandbox  serve both APIs of a made-up shop, and print how to sync it"
	@echo "make probe    find out what the APIs' documentation does not specify [CONFIG=secrets/config.json]"
	@echo "make test     run the tests (about five minutes)"
	@echo "make test-slow  run the tests that take longer: kills at each step of a load, full disks, the tools"
	@echo "make clients  sync with PyAirbyte, Singer's SDK and airbyte-serverless (five minutes)"
	@echo "make test-bigquery  run the tests of TO=bigquery against an emulator (650 MB to install)"
	@echo "make image    build the Docker image and test it against the sandbox"
	@echo "make chaos    sync while everything fails at random (a few minutes) [RUNS=30] [SEED=17]"
	@echo "make bench    measure speed and memory for tools/benchmarks/RESULTS.md (twelve minutes)"
	@echo "make load     sync 500,000 carts and ten years of days (ten minutes)"
	@echo "make lint     check style, types and the workflow"
	@echo "make format   rewrite the code in the project's style"
	@echo "make lock     update all dependencies, or one: [PACKAGE=dlt] [COOLDOWN='7 days']"
	@echo "make newest   update all dependencies, and run all tests"
	@echo "make clean    remove the files that the other commands created"
	@echo
	@echo "The commands use python3. To use another: make clean, then make demo PYTHON=python3.12"

demo: .venv/installed
	@$(BIN)/python -m sync.demo

picture: .venv/installed
	@$(BIN)/python -m sync.demo --fixed-date
	@cp demo/abandoned_carts.png docs/demo.png

sync: .venv/installed
	@$(BIN)/python -m sync --config "$(CONFIG)" $(if $(TO),--to "$(TO)") \
		$(if $(STREAMS),--streams "$(STREAMS)") $(if $(PICTURE),--picture "$(PICTURE)")

sandbox: .venv/installed
	@$(BIN)/python -m tools.sandbox

probe: .venv/installed
	@$(BIN)/python -m tools.probe --config "$(CONFIG)"

test: .venv/installed
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) -m slow

# The newest clients, each in an environment of its own, because they need other airbyte-cdk versions.
CLIENTS := pyairbyte=airbyte singer=singer-sdk airbyte-serverless=airbyte-serverless

clients: .venv/installed
	@for client in $(CLIENTS); do \
		folder=.venv-clients/$${client%=*}; \
		test -d $$folder || $(BIN)/uv venv --quiet --python $(BIN)/python $$folder || exit 1; \
		$(BIN)/uv pip install --quiet --python $$folder/bin/python --upgrade $${client#*=} || exit 1; \
		$(BIN)/uv pip freeze --python $$folder/bin/python --quiet | grep "^$${client#*=}=="; \
	done
	$(BIN)/python -m pytest $(PYTEST_OPTIONS) client_tests

test-bigquery: .venv-bigquery/installed
	.venv-bigquery/bin/python -m pytest $(PYTEST_OPTIONS) -p no:bqemulator bigquery_tests

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
	$(BIN)/uvx --quiet --python $(BIN)/python --constraints constraints.txt zizmor --offline --quiet .

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Python 3.10 is the oldest version that the package supports, and 3.11 is the image's.
lock: .venv/needed
	$(LOCK) --python-version 3.10 --all-extras --no-annotate \
		$(if $(PACKAGE),--upgrade-package "$(PACKAGE)",--upgrade) --output-file constraints.txt
	$(LOCK) --python-version 3.11 --generate-hashes --annotation-style line --constraint constraints.txt \
		$(addprefix --no-emit-package ,$(NOT_IN_IMAGE)) --output-file requirements.txt

newest: lock
	$(MAKE) test

clean:
	rm -rf .venv .venv-clients .venv-bigquery .tmp .hypothesis demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -r {} +

# The dependencies are installed once. The package is installed again after each change to it.
# What nothing uses makes room (32 MB) for the bytecode (22 MB) of what each sync imports, which halves the
# start of the connector and of the loader. uv's --compile-bytecode would compile everything: 160 MB.
.venv/needed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 15) else \
		"$(PYTHON) is Python " + sys.version.split()[0] + ". Use 3.10 to 3.14: make PYTHON=python3.12 …")'
	@echo "Installing into .venv. This takes about a minute, once."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install --constraint constraints.txt uv
	@$(INSTALL) --constraint constraints.txt ".[sync,tests,lint]"
	@$(BIN)/uv pip uninstall --quiet --python $(BIN)/python pip
	@rm -rf .venv/lib/python*/site-packages/pandas/tests
	@PYTHONDONTWRITEBYTECODE= $(BIN)/source-abandoned-carts spec >/dev/null
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import sync.load"
	@touch $@

.venv/installed: .venv/needed $(FILES)
	@rm -rf build
	@$(INSTALL) --no-deps --reinstall-package source-abandoned-carts .
	@touch $@

# An environment of its own, because the emulator's dependencies are large, and it needs an older sqlglot
# than constraints.txt has.
.venv-bigquery/needed: setup.py constraints.txt bigquery_tests/requirements.txt
	@$(PYTHON) -m venv --clear .venv-bigquery
	@.venv-bigquery/bin/python -m pip --quiet --quiet --disable-pip-version-check install --constraint constraints.txt uv
	@.venv-bigquery/bin/uv pip install --quiet --compile-bytecode --python .venv-bigquery/bin/python \
		".[sync,tests]" --requirement bigquery_tests/requirements.txt
	@touch $@

.venv-bigquery/installed: .venv-bigquery/needed $(FILES)
	@rm -rf build
	@.venv-bigquery/bin/uv pip install --quiet --compile-bytecode --python .venv-bigquery/bin/python \
		--no-deps --reinstall-package source-abandoned-carts .
	@touch $@
