# make demo   learn the muons that ship with the package and write a million new ones
# make test   run the tests
# make lint   check style and types
# Each makes .venv the first time (a few minutes) and leaves it alone afterwards.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: demo test lint clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,simulate]'
	@touch $(STAMP)

demo: $(STAMP)
	rm -rf demo
	$(BIN)/calque run demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv demo runs dist
