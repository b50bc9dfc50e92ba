# Everything runs from a fresh clone: the virtual environment and what goes into it are made when they are missing.
#
#   PYTHON=python3.12   which Python makes the virtual environment (default: the first one that is new enough)
#   ARGS="..."          passed on: make demo ARGS="--seconds 5", make test ARGS="-k room"

PYTHON ?=
ARGS ?=
BIN := .venv/bin
# The warning left out says that an editable installation is one.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check
SOURCES := peer signaling tests examples bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint bench clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: .venv/.runtime ## two headless peers call each other for 10 s and record it; on a terminal one then waits for your browser
	@$(BIN)/peer demo $(ARGS)

test: .venv/.dev ## every test; installs the browsers and ffmpeg first when it may (root, apt-get)
	@sh .ci/system-packages.sh
	@sh .ci/run-tests.sh $(ARGS)

test-fast: .venv/.dev ## the tests that need no browser, no server, no root and few seconds: less than a minute
	@sh .ci/run-tests.sh -m "not browser and not coturn and not network and not slow" -n auto --dist worksteal --hypothesis-profile=quick -o asyncio_debug=false --ignore tests/browser $(ARGS)

lint: .venv/.dev ## ruff, ruff format and mypy --strict
	@status=0; \
	$(BIN)/ruff check $(wildcard $(SOURCES)) || status=1; \
	$(BIN)/ruff format --check $(wildcard $(SOURCES)) || status=1; \
	$(BIN)/mypy || status=1; \
	exit $$status

bench: .venv/.dev ## run the comparisons in bench/ and print their ratios
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean: ## remove the virtual environment, caches and what a build left
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find peer signaling tests examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what is installed, so that a second run starts at once; a changed pyproject.toml installs again.
.venv/.python: .ci/make-venv.sh
	@PYTHON="$(PYTHON)" sh .ci/make-venv.sh .venv
	@touch $@

.venv/.runtime: .venv/.python pyproject.toml
	@echo "Installing webrtc-peer and what it needs into .venv (once) ..."
	@$(PIP) install --quiet --editable .
	@touch $@

.venv/.dev: .venv/.python pyproject.toml
	@echo "Installing webrtc-peer and its test tools into .venv (once) ..."
	@$(PIP) install --quiet --editable '.[dev]'
	@touch .venv/.runtime $@
