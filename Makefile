# Each target makes its own virtual environment; nothing else has to be installed first than Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo test lint bench e2e e2e-kubernetes clean help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## train, pack, serve, predict, build an image, write manifests
	@if [ -t 1 ] && [ -t 0 ]; then $(BIN)/shipway demo; else $(BIN)/shipway demo --once; fi

test: $(STAMP) lint ## lint, types, layers and the tests that need nothing but Python
	$(BIN)/python -m pytest -m "not e2e and not kubernetes" -q

lint: $(STAMP) ## ruff, mypy and the layers
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## benchmarks, as ratios; BASE=… names a base image for that of images
	@for file in benchmarks/forest.py benchmarks/image.py benchmarks/rendering.py benchmarks/serving.py benchmarks/start.py; do echo "== $$file"; $(BIN)/python $$file $(BASE) || exit 1; done

e2e: $(STAMP) ## tests with Docker, a registry and a browser, as far as they are here
	$(BIN)/python -m pytest -m "e2e and not kubernetes" -v

e2e-kubernetes: $(STAMP) ## tests on the cluster of KUBECONFIG, in namespaces of their own
	$(BIN)/python -m pytest -m kubernetes -v

clean: ## remove what the other targets made
	rm -rf $(VENV) demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(STAMP): requirements-dev.lock pyproject.toml
ifdef UV
	uv venv --quiet --clear --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $(STAMP)
