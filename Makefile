# Two commands from a fresh machine: `make quickstart` and `make test`.
# Both make .venv if it is not there and install what is missing; a second call installs nothing.

VENV := .venv
BIN := $(VENV)/bin
# The first Python of a supported version.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)

.PHONY: quickstart test lint install clean

quickstart: install
	$(BIN)/mmdft quickstart

# Each worker computes with one thread: two with two threads each would fight for two cores. A file
# stays with one worker, so that what its tests share is made once.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy mmdft

install: $(VENV)/.installed

# The stamp is made last, so an interrupted installation is taken up again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "mmdft needs Python 3.11, 3.12 or 3.13 (with venv); none was found. Name one: make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
