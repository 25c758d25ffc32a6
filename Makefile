# Every target sets up what it needs in .venv/; a second call is instant.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
STAMPS := pyproject.toml constraints.txt
TEST_EXTRAS := dev,media,train,data,plots,hf,live,mqtt,search,serve,onnx,e2e,docs
QUICK := $(addprefix tests/,core metrics audio frontends data)
WORKERS ?= 2

.PHONY: demo test quick lint types format bench docs clean

$(VENV)/demo.stamp: $(STAMPS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e '.[plots]'
	@touch $@

$(VENV)/test.stamp: $(STAMPS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/docs.stamp: $(STAMPS)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(VENV)/demo.stamp
	$(BIN)/auricle demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

quick: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow" $(QUICK)

types: $(VENV)/test.stamp
	$(BIN)/mypy

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -d site
	@echo "open site/index.html; with search: $(BIN)/python -m http.server -d site"

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache
