# Everything a reader or a contributor needs; `make help` lists it. Another Python: make PYTHON=python3.12 book
.POSIX:
PYTHON = python3
GRID = smoke
CORES = 2
RUN = PYTHONPATH= PYTHONNOUSERSITE=1 .venv/bin/python
# A file of tests runs in one process, the longest first (tests/conftest.py). All of them take three processes on
# two cores: some wait for a browser, or for what they have killed.
FILES = --dist loadfile --no-loadscope-reorder

help:
	@echo "make book    install into .venv, execute every notebook, build the pages, say where they are"
	@echo "make quick   style, types, and the tests that take under a second: for every change"
	@echo "make test    install what tests need, check style and types, run every test"
	@echo "make torture kill, crowd, damage and misuse everything thousands of times, and count (half an hour)"
	@echo "make setup   install only what 'make book' and 'make test' need"
	@echo "make smoke   run every page with parameters in its smoke profile and report the seconds each takes"
	@echo "make status  which figures have valid, stale or missing records"
	@echo "make readme  redraw the README's picture and count its claims again, after records or claims changed"
	@echo "make strip   remove outputs from the notebooks before a commit"
	@echo "make bench   timings against other packages, in an environment of their own"
	@echo "make sweep   make every record that a grid asks for, with Snakemake: GRID=smoke, CORES=2"
	@echo "make clean   remove the built pages and caches (records, runs and .venv stay)"
	@echo "Another Python than python3:  make PYTHON=python3.12 book"

book: .venv-book
	@$(RUN) tools/build_book.py

test: style .venv-sweep
	$(RUN) -m pytest -n 3 $(FILES) --durations=10 --durations-min=1

quick: style
	$(RUN) -m pytest -n 2 $(FILES) -q -m "not slow"

style: .venv-test
	$(RUN) -m ruff check diffnotes tests tools notebooks sweep
	$(RUN) -m mypy

torture: .venv-test .venv-sweep
	@PYTHONPATH=tests PYTHONNOUSERSITE=1 OMP_NUM_THREADS=1 .venv/bin/python tests/torture/run.py $(PARTS)

setup: .venv-test .venv-sweep
	@echo "Ready: .venv has everything that 'make test' and 'make book' need."

smoke: .venv-book
	@$(RUN) tools/run_smoke.py

status: .venv-book
	@$(RUN) -m diffnotes status

readme: .venv-book
	@$(RUN) tools/refresh_readme.py

strip: .venv-book
	@$(RUN) tools/strip_notebooks.py

bench: has-python
	@if ls benchmarks/[!_]*.py >/dev/null 2>&1; \
	then $(PYTHON) tools/make_venv.py bench && .venv-bench/bin/python tools/run_benchmarks.py; \
	else echo "There are no benchmarks yet."; fi

# Snakemake is told of no records but those of GRID; a dry run: make sweep GRID=shown FLAGS=-n
sweep: .venv-book .venv-sweep
	@.venv-sweep/bin/snakemake -s sweep/Snakefile -c $(CORES) --config grid=$(GRID) $(FLAGS)

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find diffnotes tests tools sweep -name __pycache__ -type d -prune -exec rm -rf {} +

# These three are no files: the script decides by its own stamp, in milliseconds, whether anything is to be done.
.venv-book: has-python
	@$(PYTHON) tools/make_venv.py book

.venv-test: has-python
	@$(PYTHON) tools/make_venv.py test

.venv-sweep: has-python
	@$(PYTHON) tools/make_venv.py sweep

has-python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "Error: there is no $(PYTHON); install Python 3.11 or newer, or name yours: make PYTHON=python3.12" >&2; exit 1; }

.PHONY: help book test quick style setup torture smoke status readme strip bench sweep clean .venv-book .venv-test .venv-sweep has-python
