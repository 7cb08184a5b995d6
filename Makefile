# Every target makes what it needs: a virtual environment and the packages of its dependency group, nothing else.
# Needed beforehand: make, git, and a Python of 3.11 or newer that can make virtual environments.

VENV ?= .venv
BIN := $(abspath $(VENV))/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
VERSIONS := 3.11 3.12 3.13 3.14

# Run rather than looked up: a launcher of pyenv is there for versions that do not start.
USABLE := -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1

.DEFAULT_GOAL := help
.PHONY: help demo test test-all dogfood lint bench shapes leaks aa power power-stored docs clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.demo ## see two slowdowns found in an example project (about a minute)
	$(BIN)/python examples/demo.py

# What neither reads memory, nor starts suites of its own, nor asks servers takes two processes. The guarded tests have a
# session of their own: it watches sqlite3, whose instrument the suite takes apart.
test: $(VENV)/.test ## run the test suite, perfguard's guards of itself, then the example project's suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/unit/probes/memory tests/unit tests/conformance tests/shapes tests/leaks tests/docs
	$(BIN)/python -m pytest tests/unit/probes/memory tests/integration tests/layouts tests/services
	$(BIN)/python -m pytest tests/dogfood
	cd examples/shop && $(BIN)/python -m pytest -p no:randomly -p no:asyncio

test-all: ## run the test suite with each Python from 3.11 on that this machine has
	@for version in $(VERSIONS); do \
		for python in python$$version "$$HOME"/.pyenv/versions/$$version*/bin/python; do \
			if "$$python" $(USABLE); then \
				echo "=== Python $$version: $$python"; \
				$(MAKE) --no-print-directory test VENV=.venv-$$version PYTHON="$$python" || failed="$$failed $$version"; \
				continue 2; \
			fi; \
		done; \
		echo "=== Python $$version: not on this machine"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with Python:$$failed"; exit 1; fi

dogfood: $(VENV)/.test ## compare perfguard's own speed with the runs in baselines/
	$(BIN)/python -m pytest tests/dogfood --perfguard-compare

lint: $(VENV)/.lint ## check style, types and which module imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.bench $(VENV)/.peers ## measure what perfguard itself costs
	$(BIN)/python tests/bench/bench.py

shapes: $(VENV)/.bench $(VENV)/.peers ## compare what is said of N+1, duplicates and loops of writes with what other tools say
	PYTHONPATH=$(abspath $(VENV))/peers $(BIN)/python tests/bench/shapes.py

leaks: $(VENV)/.test $(VENV)/.bench ## count the leaks that are found, named and located, with each Python that was set up here
	$(BIN)/python tests/bench/leaks.py $(wildcard $(BIN)/python $(VERSIONS:%=$(CURDIR)/.venv-%/bin/python))

aa: $(VENV)/.bench ## count the false alarms on unchanged code
	$(BIN)/python tests/bench/aa.py

power: $(VENV)/.bench ## count how many slowdowns of known size are found side by side
	$(BIN)/python tests/bench/power.py

power-stored: $(VENV)/.bench ## count how many are found against a stored baseline
	$(BIN)/python tests/bench/power_stored.py

docs: $(VENV)/.docs ## build the documentation into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## remove what builds and tools left behind
	rm -rf build dist docs/_build docs/reference/generated .coverage
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## remove the virtual environments too
	rm -rf $(VENV) $(VERSIONS:%=.venv-%)

# The package itself is installed in place: changes of the code need no new installation, changes of pyproject.toml do.
$(VENV)/.package: pyproject.toml
	@python="$(PYTHON)"; \
	if [ ! -x "$(BIN)/python" ]; then \
		for candidate in python3.13 python3.12 python3.11 python3 python; do \
			[ -n "$$python" ] && break; \
			if $$candidate $(USABLE); then python=$$candidate; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "no Python of 3.11 or newer with venv was found; name one: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; \
			exit 1; \
		fi; \
		"$$python" -m venv "$(VENV)"; \
	fi
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable .
	@touch $@

# It loads itself into every run of pytest: apart from what the tests use.
$(VENV)/.peers: $(VENV)/.package
	$(PIP) --target $(VENV)/peers pytest-queryguard
	@touch $@

# Dependency groups of pyproject.toml, one stamp each.
$(VENV)/.demo $(VENV)/.test $(VENV)/.mysqlclient $(VENV)/.lint $(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: $(VENV)/.package
	$(PIP) --group $*
	@touch $@
