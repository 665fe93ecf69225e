# Targets for people and for CI; `make` alone shows them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKSPACE ?= workspace
# one process a core, four at most (each takes up to 2 GB of memory); a file's tests stay together, as its fixtures do
PYTEST := $(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile
PYTEST_ARGS ?=
TOOLS := build/tools
# of torch's CPU wheel for Linux (x86-64, Python 3.11), which indexes have beside the one with GPU libraries
TORCH_CPU_SHA256 := 6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b

.DEFAULT_GOAL := help
.PHONY: help install lock audit sbom quickstart test check format slow real nightly benchmark reliability conformance serve clean

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

real: $(INSTALLED) ## the tests on published models that `tunechain models add` put on this machine
	$(BIN)/pytest -q -m real

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
	$(BIN)/python -m benchmarks.monitoring --out docs/benchmarks/monitoring.md
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

lock: ## write requirements.lock: the versions of constraints.txt with the sums of their files
	$(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet uv
	rm -f requirements.lock
	$(TOOLS)/bin/uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate --universal \
		--python-version 3.11 --output-file requirements.lock - < constraints.txt
	sed -i 's/^torch==.*/&\n    --hash=sha256:$(TORCH_CPU_SHA256) \\/' requirements.lock

audit: ## compare the versions of requirements.lock with the published list of vulnerabilities
	$(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet pip-audit
	@if ! $(TOOLS)/bin/pip-audit --strict --vulnerability-service osv --disable-pip --requirement requirements.lock \
		2> build/audit.log; then \
		if grep -q "ConnectionError\|ConnectTimeout" build/audit.log; \
		then echo "skipped: the list of vulnerabilities cannot be reached from this machine"; \
		else cat build/audit.log; exit 1; fi; fi

sbom: $(INSTALLED) ## write build/sbom.json, a CycloneDX bill of the installed packages with their licences
	$(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet cyclonedx-bom
	$(TOOLS)/bin/cyclonedx-py environment $(VENV) --output-format JSON --output-file build/sbom.json

serve: $(INSTALLED) ## serve the applications of the workspace at http://127.0.0.1:8000
	$(BIN)/tunechain serve --workspace $(WORKSPACE)

clean: ## remove what was installed and built, but no workspace
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
