# `make` lists the targets. The package's requirements are installed into .venv from requirements.lock,
# those of tests, types and docs from requirements-dev.lock.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
RUN := .venv/installed
DEV := .venv/installed-dev

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(RUN) ## set up, sweep a small transformer over Python's documentation, show the results
	$(BIN)/python -m scaling.train experiment=quickstart
	$(BIN)/python -m scaling.report multirun/quickstart

# Three processes keep two cores busy, because tests of commands wait for them.
test: $(DEV) ## set up and run the tests
	$(BIN)/python -m pytest -n 3 --dist worksteal

check: $(DEV) ## lint, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DEV) ## build the documentation in docs/_build/html, and run the examples on its pages
	$(BIN)/sphinx-build -q -W --keep-going -E -c docs . docs/_build/html
	$(BIN)/python -m pytest -q tests/docs

bench: $(DEV) ## measure what a step, a sweep, a report, layer statistics and a federation cost (minutes)
	$(BIN)/python tests/benchmarks/step_cost.py
	$(BIN)/python tests/benchmarks/sweep_cost.py finished
	$(BIN)/python tests/benchmarks/sweep_cost.py cell
	$(BIN)/python tests/benchmarks/report_cost.py
	$(BIN)/python tests/benchmarks/layer_cost.py
	$(BIN)/python tests/benchmarks/callback_cost.py
	$(BIN)/python tests/benchmarks/federation_cost.py
	$(BIN)/python tests/benchmarks/thread_cost.py
	$(BIN)/python tests/benchmarks/thread_cost.py --busy 1

survive: $(DEV) ## kill a sweep ten times and runs at many steps, and compare their tables (minutes)
	SCALING_KILLS=10 $(BIN)/python -m pytest tests/sweeps/test_survival.py tests/runs/test_resume.py \
		tests/sweeps/test_command.py::test_a_signal_leaves_interrupted_rows_and_its_exit_code

calibrate: $(DEV) ## count how often intervals contain a known law, 1,000 sweeps of each family (hours)
	SCALING_DRAWS=1000 $(BIN)/python -m pytest -q -s tests/analysis/test_calibration.py tests/analysis/test_powerlaws.py \
		tests/analysis/test_axes_law.py tests/gradients/test_noise_scale_mnist.py \
		tests/gradients/test_tails.py

ray: ## train a federation on Ray, in a separate environment, and compare it with one in a single process (minutes)
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install --quiet -r requirements.lock -r requirements-dev.lock -e '.[federated-ray]'
	.venv-ray/bin/python -m pytest -q -n 0 tests/federation/test_training.py -k ray

dashboard: $(RUN) ## TensorBoard of every run below multirun/
	$(BIN)/python -m scaling.dashboard multirun

FREEZE = $(BIN)/pip freeze --exclude-editable | sed -E 's/^(torch==[0-9.]+).*/\1/'

notebooks: $(DEV) ## execute the notebooks on the kept rows and store their outputs
	$(BIN)/python notebooks/execute.py

lock: ## write requirements.lock and requirements-dev.lock from the ranges in pyproject.toml
	rm -rf .venv && $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0 -e .
	$(FREEZE) > requirements.lock
	$(BIN)/pip install --quiet -e '.[dev]'
	$(FREEZE) | grep -vxFf requirements.lock > requirements-dev.lock

# Compile on all cores (pip uses one), without the tests of the packages.
INSTALL = $(BIN)/pip install --quiet --no-compile
COMPILE = $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

$(RUN): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(INSTALL) -r requirements.lock
	$(INSTALL) --no-deps -e .
	@$(COMPILE)
	@touch $@

$(DEV): $(RUN) requirements-dev.lock
	$(INSTALL) -r requirements.lock -r requirements-dev.lock
	@$(COMPILE)
	@touch $@

.PHONY: help demo test check docs bench survive calibrate ray dashboard notebooks lock
