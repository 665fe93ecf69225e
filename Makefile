# Targets for people and for CI; `make` alone shows them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKSPACE ?= workspace
# one process a core, four at most (each takes up to 2 GB of memory); a file's tests stay together, as its fixtures do
PYTEST := $(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install quickstart test check format slow nightly benchmark reliability conformance serve clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

quickstart: $(INSTALLED) ## train, build and run the three applications on the sample records
	$(BIN)/tunechain quickstart $(WORKSPACE)

test: $(INSTALLED) ## run the tests (no network, tiny models); PYTEST_ARGS=--cov asks for coverage, too
	$(PYTEST) $(PYTEST_ARGS)

check: $(INSTALLED) ## format, lint, types, import direction
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## put every file into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow: $(INSTALLED) ## the tests with real models, and with public data where TUNECHAIN_DATA names it
	$(PYTEST) -m slow

nightly: $(INSTALLED) ## the slow tests, and those with random input many times over
	$(PYTEST) -m "slow or nightly or hypothesis" --hypothesis-profile nightly

benchmark: $(INSTALLED) ## every figure beside its baseline; takes about three hours
	$(BIN)/python -m benchmarks.classifiers --data banking77 --methods head full --seeds 0 1 2 --results build/figures.jsonl
	$(BIN)/python -m benchmarks.classifiers --data clinc150 --methods head full --results build/figures.jsonl
	$(BIN)/python -m benchmarks.classifiers --results build/figures.jsonl --out docs/benchmarks/classifiers.md
	$(BIN)/python -m benchmarks.classifier_speed --out docs/benchmarks/classifier_speed.md
	$(BIN)/python -m benchmarks.active_learning --out docs/benchmarks/active_learning.md
	$(BIN)/python -m benchmarks.customer_service --out docs/benchmarks/customer_service.md
	$(BIN)/python -m benchmarks.recommendation
	$(BIN)/python -m benchmarks.monitoring_detector
	$(BIN)/python -m benchmarks.chat_throughput --out docs/benchmarks/chat_throughput.md
	$(BIN)/python -m benchmarks.embeddings --out docs/benchmarks/embeddings.md
	$(BIN)/python -m benchmarks.retrieval --out docs/benchmarks/retrieval.md
	$(BIN)/python -m benchmarks.store --out docs/benchmarks/store.md

reliability: $(INSTALLED) ## kill, damage and attack stores, trainings and the server for about three hours, and count what they kept
	$(BIN)/python -m benchmarks.store_reliability --out docs/benchmarks/store_reliability.md
	$(BIN)/python -m benchmarks.training_reliability --out docs/benchmarks/training_reliability.md
	$(BIN)/python -m benchmarks.conversations --out docs/benchmarks/conversations.md
	$(BIN)/python -m benchmarks.server_kills --out docs/benchmarks/server_kills.md
	$(BIN)/python -m benchmarks.server_figures --out docs/benchmarks/server_figures.md

conformance: $(INSTALLED) ## the checks that our chat model and ChatHuggingFace pass, into docs/conformance.md
	$(BIN)/python -m benchmarks.conformance --out docs/conformance.md

serve: $(INSTALLED) ## serve the applications of the workspace at http://127.0.0.1:8000
	$(BIN)/tunechain serve --workspace $(WORKSPACE)

clean: ## remove what was installed and built, but no workspace
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
