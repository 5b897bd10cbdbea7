# Two commands from an empty clone: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# The versions that were tested together; `make constraints` renews them.
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt --editable
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start many processes of Python; each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow test-min coverage bench lint audit constraints screenshots clean
.DEFAULT_GOAL := test

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) .
	touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) '.[test]'
	touch $@

.venv/installed-lint: .venv/installed-test
	$(INSTALL) '.[test,lint]'
	touch $@

demo: .venv/installed
	$(BIN)/receiver demo

# All tests but those that take long.
test: .venv/installed-test
	tests/system-packages
	$(BIN)/pytest -m "not slow"

# The others: the same with every kind of trouble, many rows, or many processes.
test-slow: .venv/installed-test
	tests/system-packages
	$(BIN)/pytest -m slow

# The same with the oldest versions that pyproject.toml allows.
test-min:
	$(PYTHON) -m venv --clear .venv-min
	$(PYTHON) tests/lowest_versions.py > .venv-min/constraints.txt
	.venv-min/bin/pip install --quiet --constraint .venv-min/constraints.txt --editable '.[test]'
	tests/system-packages
	.venv-min/bin/pytest

# The suite with the coverage of receiver/, in all its processes; fails below the floor in pyproject.toml.
coverage: .venv/installed-test
	tests/system-packages
	rm -f .coverage .coverage.*
	$(BIN)/pytest --cov --cov-report=
	$(BIN)/coverage report --skip-covered

# Known vulnerabilities of the versions in constraints.txt; asks a service on the internet.
audit: .venv/installed-lint
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# The newest versions that pyproject.toml allows, for `git diff` and `make test` to judge.
constraints:
	$(PYTHON) -m venv --clear .venv-new
	.venv-new/bin/pip install --quiet --editable '.[test,lint]'
	.venv-new/bin/pip freeze --exclude-editable > constraints.txt
	rm -r .venv-new

# The admin page in every look, into ./screenshots, for people to look at.
screenshots: .venv/installed-test
	tests/system-packages
	$(BIN)/python -m tests.e2e.screenshots screenshots
	$(BIN)/python -m tests.e2e.screenshots screenshots --empty

benchmarks/peers/node_modules: benchmarks/peers/package.json
	cd benchmarks/peers && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@

.venv-bench: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv --clear $@
	$@/bin/pip install --quiet --requirement benchmarks/peers/requirements.txt
	touch $@

# Callbacks a second beside what people would write instead; tables in the terminal, and ./bench/*.json.
bench: .venv/installed-test .venv-bench benchmarks/peers/node_modules
	tests/system-packages
	mkdir -p bench
	$(BIN)/python -m benchmarks.bench --json bench/sqlite.json
	$(BIN)/python -m benchmarks.bench --json bench/sqlite-slow.json --fdatasync-ms 10 --scenario new
	$(BIN)/python -m benchmarks.bench --json bench/postgresql.json --postgresql --scenario new
	$(BIN)/python -m benchmarks.bench --json bench/postgresql-slow.json --postgresql --fdatasync-ms 10 --scenario new

lint: .venv/installed-lint
	$(BIN)/ruff format --check receiver tests benchmarks wsgi.py config
	$(BIN)/ruff check receiver tests benchmarks wsgi.py config
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-min .venv-new .venv-bench bench benchmarks/peers/node_modules instance .coverage* screenshots *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
