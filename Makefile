# Two commands for everybody: `make train` and `make test`. Both make their own virtual environment.
#
#   make train TRAIN="btcusdt-30m --algo dqn"     another preset
#   make train TORCH_FLAGS="--index-url URL"      torch's CPU build, from the address on PyTorch's install page
#   make mutation WORKERS=4 MUTANTS=              all mutants, not a random sample of 450

VENV ?= .venv
PYTHON ?= python3
TRAIN ?= demo
BENCH ?=
TORCH_FLAGS ?=
WORKERS ?= 2
MUTANTS ?= 450

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: train test format lint types layers tests tests-plain mutation mutation-report bench tensorboard clean

train: $(VENV)/ready  ## train the preset, evaluate it, and say where report and TensorBoard folder are
	$(BIN)/python -m scripts.train $(TRAIN)
	$(BIN)/python -m scripts.evaluate

test: lint types layers tests tests-plain  ## every check

format: $(VENV)/ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pip check

types: $(VENV)/ready-dev
	$(BIN)/mypy

layers: $(VENV)/ready-dev
	$(BIN)/lint-imports

tests: $(VENV)/ready-dev
	$(BIN)/python -m pytest --numprocesses 2

tests-plain: $(VENV)/ready-dev  ## the kernels again as plain Python, without the compiler
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --numprocesses 2 \
		tests/test_ledger.py tests/test_replay.py tests/test_decision.py tests/test_limit_orders.py \
		tests/test_features.py tests/test_income.py -k "not real_year"

mutation: $(VENV)/ready-dev  ## change the kernels and see whether their tests notice; goes on where it was stopped
	$(BIN)/python -m tests.mutation run --workers $(WORKERS) $(MUTANTS:%=--mutants %)

mutation-report: $(VENV)/ready-dev  ## print what `make mutation` has found so far
	$(BIN)/python -m tests.mutation report

bench: $(VENV)/ready
	$(BIN)/python -m scripts.bench $(BENCH)

tensorboard: $(VENV)/ready
	$(BIN)/tensorboard --logdir runs --host 127.0.0.1

clean:
	rm -rf $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_FLAGS) $(TORCH)
	$(PIP) --editable .
	touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(PIP) --editable '.[dev]'
	touch $@
