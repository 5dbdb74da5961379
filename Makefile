# make run    installs voxtrad into .venv and starts it with the starter configuration
# make test   lint, types and all tests; needs nothing but Python; on Debian, as root, it fetches a PBX and a browser itself

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config/voxtrad.yaml

.PHONY: run install dev lint test test-unit test-asterisk test-browser test-long bench clean

run: install
	@$(BIN)/voxtrad serve -c $(CONFIG)

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "voxtrad needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { rm -rf $(VENV); \
	       if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	         apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); \
	       else \
	         echo "Python's venv is not installed; on Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; \
	       fi; }

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'silero-vad>=6.2,<7'
	@touch $@ $(VENV)/.installed

lint: dev
	@$(BIN)/ruff check voxtrad tests
	@$(BIN)/ruff format --check --quiet voxtrad tests
	@$(BIN)/mypy

test: lint
	@$(BIN)/python -m tests.lanes

test-unit: dev
	@$(BIN)/python -m pytest -m "not long and not asterisk and not browser"

test-asterisk: dev
	@$(BIN)/python -m pytest -m "asterisk and not long"

test-browser: dev
	@$(BIN)/python -m pytest -m "browser and not long"

test-long: dev
	@$(BIN)/python -m pytest -m "long"
	@PYTHON=$(BIN)/python tests/containers/build.sh

bench: dev
	@$(BIN)/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
