# Trickster: `make run` opens the window, `make test` checks everything. Both work from a bare clone.

# The interpreter that .venv is made with: 3.10, 3.11, 3.12 or 3.13.
PYTHON ?= python3
# More for pytest, as in: make test ARGS="-k spec -x"
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

# The environment of workers for Tenstorrent cards, and the interpreter that it is made with
# (default: the first Python 3.12 or 3.10 that is found).
CARD_VENV := .venv-tenstorrent
TT_PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test check coverage format screenshots bench wheel wheel-check interpreters tenstorrent-env clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## Make .venv and install everything into it

run: $(INSTALLED) ## Open the window
	@$(PY) main.py

test: check ## Everything that must hold: check, then all tests
	@QT_QPA_PLATFORM=$${QT_QPA_PLATFORM:-offscreen} $(PY) -m trickster_gui.preflight
	$(PY) -m pytest $(ARGS)

check: $(INSTALLED) ## Lint, format, types, import directions
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

coverage: $(INSTALLED) ## Which lines the engine's tests run; all of them in spec, families and cost
	$(PY) -m coverage run -m pytest tests/engine $(ARGS)
	$(PY) -m coverage report
	$(PY) -m coverage report --fail-under=100 \
		--include='engine/spec.py,engine/families/*,engine/cost/*' --no-skip-covered

format: $(INSTALLED) ## Mend what ruff can mend
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

screenshots: $(INSTALLED) ## Draw each page into screenshots/
	QT_QPA_PLATFORM=$${QT_QPA_PLATFORM:-offscreen} $(PY) -m tests.screenshots

bench: $(INSTALLED) ## Measure speed here
	$(PY) -m benchmarks

wheel: $(INSTALLED) ## Build the wheel into dist/
	$(PY) -m hatchling build -t wheel

wheel-check: $(INSTALLED) ## Install the wheel into empty environments and use it (minutes)
	$(PY) -m tests.project.wheel_check

interpreters: $(INSTALLED) ## Test the engine with each Python 3.10 to 3.13 found here (minutes)
	$(PY) -m tests.project.interpreter_check

tenstorrent-env: ## Make .venv-tenstorrent: ttnn and the bare engine, for Tenstorrent cards
	@python="$$($(find-python))" && [ -n "$$python" ] || { $(no-card-python); exit 1; } && \
	PYTHONPATH=. "$$python" -m engine card-environment $(if $(TT_PYTHON),--python "$(TT_PYTHON)")
	@echo "Done. What else a card needs: $(PY) -m engine preflight --device n150:0"

clean: ## Remove .venv and all that tools have written
	rm -rf $(VENV) $(CARD_VENV) build dist screenshots htmlcov .coverage .coverage.* \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv whose interpreter is gone is made anew; otherwise it is kept and brought up to date.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PY) -c 'import pip' 2>/dev/null || { $(fit-interpreter) && $(PYTHON) -m venv --clear $(VENV); }
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

define fit-interpreter
{ command -v $(PYTHON) >/dev/null || { \
	echo "make: there is no $(PYTHON). Install Python 3.10 to 3.13 (Debian, Ubuntu: sudo apt install python3 python3-venv), or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }; } && \
{ $(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); Trickster needs Python 3.10 to 3.13. Install one (Debian, Ubuntu: sudo apt install python3.12 python3.12-venv) and name it: make PYTHON=python3.12" >&2; exit 1; }; } && \
{ $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "make: $(PYTHON) comes without its venv module. Install it: sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])') (Debian, Ubuntu)" >&2; exit 1; }; }
endef

# Any Python that the engine runs under will do: it needs no package to make the environment.
define find-python
for python in $(PY) $(PYTHON) python3.12 python3.10 $(if $(TT_PYTHON),"$(TT_PYTHON)") "$$HOME"/.pyenv/versions/3.1[0-3].*/bin/python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo "$$python"; break; }; done
endef

define no-card-python
echo "make: ttnn exists for Python 3.12 and 3.10 only, and no Python from 3.10 on is here. Install one (Ubuntu 24.04: sudo apt install python3.12 python3.12-venv; Ubuntu 22.04: sudo apt install python3.10 python3.10-venv), or name one: make tenstorrent-env TT_PYTHON=/path/to/python3.12" >&2
endef
