# Two commands from an empty clone: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-min screenshots lint clean
.DEFAULT_GOAL := test

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-lint: .venv/installed-test
	$(BIN)/pip install --quiet --editable '.[test,lint]'
	touch $@

demo: .venv/installed
	$(BIN)/receiver demo

test: .venv/installed-test
	tests/system-packages
	$(BIN)/pytest

# The same with the oldest versions that pyproject.toml allows.
test-min:
	$(PYTHON) -m venv --clear .venv-min
	$(PYTHON) tests/lowest_versions.py > .venv-min/constraints.txt
	.venv-min/bin/pip install --quiet --constraint .venv-min/constraints.txt --editable '.[test]'
	tests/system-packages
	.venv-min/bin/pytest

# The admin page in every look, into ./screenshots, for people to look at.
screenshots: .venv/installed-test
	tests/system-packages
	$(BIN)/python -m tests.e2e.screenshots screenshots
	$(BIN)/python -m tests.e2e.screenshots screenshots --empty

lint: .venv/installed-lint
	$(BIN)/ruff format --check receiver tests benchmarks wsgi.py config
	$(BIN)/ruff check receiver tests benchmarks wsgi.py config
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-min instance screenshots *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
