# make help lists what can be done; everything sets itself up first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000
WEB_MODELS := $(patsubst %/,%,$(sort $(dir \
  $(wildcard models/*/stream_int8.onnx))))
STAMP := $(VENV)/.edgebrain-setup
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo web test test-fast bench lint format clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## make the virtual environment with the pinned packages

$(STAMP): requirements.txt pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH_ARGS="$(TORCH_ARGS)" \
	  bash tools/setup.sh
	@touch $(STAMP)

demo: $(STAMP) ## train, select and score a small model with no data at all
	$(BIN)/python train.py train.yaml --experiment demo --number_of_epochs 30

web: $(STAMP) ## hear the released models in a page, on this machine
	$(BIN)/python deploy/web.py $(WEB_MODELS) --output_folder build/page
	@echo "open http://127.0.0.1:$(PORT)/ (Ctrl-C stops)"
	@$(BIN)/python -m http.server --directory build/page \
	  --bind 127.0.0.1 $(PORT)

test: $(STAMP) ## run the whole test suite
	@bash tools/test.sh $(BIN)/python $(CORES)

test-fast: $(STAMP) ## run the tests that take seconds
	$(BIN)/python -m pytest -n $(CORES) -m "not slow and not integration"

bench: $(STAMP) ## measure speed on this machine and print the table
	$(BIN)/python benchmarks/run.py

lint: $(STAMP) ## ruff and yamllint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .

format: $(STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches, keep results/
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
