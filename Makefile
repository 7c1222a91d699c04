# Everything a fresh machine needs: `make demo` and `make test` work on their own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLBACKEND := Agg

.PHONY: demo test test-all test-random test-transports test-examples test-deployment mutations docs gpu-check check format lint types clean

demo: $(VENV)/.ready  ## learn, delete, unlearn, certify and audit on embedded data
	$(BIN)/rewindnet run experiments/recipes/demo.yaml --out runs/demo --force
	$(BIN)/rewindnet verify runs/demo
	$(BIN)/rewindnet report runs/demo

test: $(VENV)/.ready  ## the test suite, with the same drawn cases every time
	$(BIN)/python -m pytest -n auto -m "not slow" --hypothesis-profile=ci

test-all: $(VENV)/.ready  ## the test suite with its slow tests
	$(BIN)/python -m pytest -n auto --hypothesis-profile=ci

test-random: $(VENV)/.ready  ## all tests with many drawn cases, others every time
	$(BIN)/python -m pytest -n auto --hypothesis-profile=nightly

test-transports: $(VENV)/.ready  ## the slow tests that all transports leave the same, and that runs go on, 7 minutes
	$(BIN)/python -m pytest -n auto -m "transports and slow" --hypothesis-profile=ci

test-examples: $(VENV)/.ready  ## the slow tests of what documentation shows, and of the installed package
	$(BIN)/python -m pytest -n auto -m slow --hypothesis-profile=ci tests/project tests/experiments/test_api.py

test-deployment: $(VENV)/.ready  ## the tests with a SuperLink and SuperNodes
	$(BIN)/python -m pytest -m deployment --hypothesis-profile=ci

mutations: $(VENV)/.ready  ## break the code in many ways; which of them a run, the verifier or the tests notice
	PYTHONPATH=tests/support $(BIN)/python -m mutations

docs: $(VENV)/.ready  ## the documentation as a site, in site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=docs $(BIN)/python -W ignore::DeprecationWarning -m mkdocs build --quiet --strict

gpu-check:  ## on a machine with a GPU, 10 minutes: tests, speed, how much fits; PYTHON has torch for it
	$(PYTHON) tests/support/gpu_check.py

check: format lint types test  ## everything a change must pass

format: $(VENV)/.ready
	$(BIN)/ruff format --check .

lint: $(VENV)/.ready
	$(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy
	MYPYPATH=docs $(BIN)/mypy -p reference_pages

# torch first: a plain request for it would bring a build for GPUs along.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info
