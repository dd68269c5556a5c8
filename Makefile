# Two commands on a bare machine with Python 3.11+ and pip: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check docs clean

demo: $(VENV)/.installed  ## the main job on built-in data, in about four minutes on two cores, once installed
	$(BIN)/detcon demo
	@echo "open $(CURDIR)/demo/report.html"

test: $(VENV)/.installed-dev  ## the whole suite
	# bytecode is kept, also where the environment says no: the suite starts many processes
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.installed-dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright

docs: $(VENV)/.installed-docs  ## the documentation as a site: site/index.html; a broken link is an error
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_site.py
	$(BIN)/zensical build --strict --clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# without bytecode: of 18,000 files a third is ever imported, and then Python keeps theirs
$(VENV)/.installed-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[docs]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) demo runs build dist site .cache .pytest_cache .ruff_cache
