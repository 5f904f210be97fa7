# Every command sets up what it needs: Python 3.11 or newer and make are enough.
# A second run is quick: the environment is built again only when pyproject.toml changed.

# Yours to set: make train TRAIN_ARGUMENTS='--epochs 5', make test PYTEST_ARGUMENTS='-k metrics', make PYTHON=python3.12 test
PYTHON ?= python3
VENV ?= .venv
TRAIN_ARGUMENTS ?=
PYTEST_ARGUMENTS ?=
WORKERS ?= auto
BENCH_ARGUMENTS ?=
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
PYTEST = $(PY) -m pytest $(PYTEST_ARGUMENTS)
# A process for each core; a file stays with one, whose tests share what they have compiled.
BESIDE = -n $(WORKERS) --dist loadfile

# On Linux the plain PyTorch wheel brings gigabytes of CUDA, so ask for the CPU build by its full version.
ifeq ($(shell uname -s),Linux)
TORCH ?= torch==2.13.0+cpu
else
TORCH ?= torch==2.13.0
endif

.DEFAULT_GOAL := help
.PHONY: help train applications test peers sweep lint format results gallery bench docs clean

help:
	@echo 'make train    set up, then train a network on the handwritten digits'
	@echo 'make test     set up, then run every test that needs no peer'
	@echo 'make applications  a training of a minute or two on real data for each application'
	@echo 'make peers    set up with PyTorch (CPU) and scikit-learn, then run the comparisons with them'
	@echo 'make sweep    every test, with every configuration instead of a seeded tenth'
	@echo 'make lint     ruff check, ruff format --check, mypy'
	@echo 'make format   let ruff format and fix what it can'
	@echo 'make results  measure again what docs/results.md says'
	@echo 'make gallery  measure again what docs/gallery.md shows, and draw its figures'
	@echo 'make bench    measure speed beside PyTorch, JAX, Keras and scikit-learn, for docs/benchmarks.md'
	@echo 'make docs     the guides and a page for every public name, as a site in build/docs/html'
	@echo 'make clean    remove the environment and everything that tools left behind'

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Thalweg needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "This Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

# One stamp for each set of extras; a stamp is as new as the pyproject.toml that it was installed from.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "installing thalweg[$*] into $(VENV)"
	@$(PIP_INSTALL) --editable '.[$*]'
	@touch $@

$(VENV)/.installed-peers $(VENV)/.installed-bench: $(VENV)/.installed-%: pyproject.toml | $(VENV)/.created
	@echo "installing thalweg[test,$*] with $(TORCH) into $(VENV)"
	@$(PIP_INSTALL) --editable '.[test,$*]' '$(TORCH)' || { \
		echo 'No CPU build of PyTorch where pip looks. Point pip at one (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL),'; \
		echo 'or accept the build with CUDA: make peers TORCH=torch==2.13.0'; exit 1; }
	@touch $@

train: $(VENV)/.installed-report
	$(VENV)/bin/thalweg train digits $(TRAIN_ARGUMENTS)

test: $(VENV)/.installed-test
	@echo "left out: the comparisons with PyTorch and scikit-learn (make peers); trainings of a minute or two on real data"
	@echo "(make applications); nine tenths of each sweep (make sweep); the site (make docs)"
	$(PYTEST) $(BESIDE) -m "not peer and not application and not site"

applications: $(VENV)/.installed-test
	$(PYTEST) -m application

peers: $(VENV)/.installed-peers
	$(PYTEST) $(BESIDE) -m peer

sweep: $(VENV)/.installed-peers
	THALWEG_SWEEP=1 $(PYTEST) $(BESIDE)

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.installed-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

results: $(VENV)/.installed-peers
	$(PY) -m bench.results

gallery: $(VENV)/.installed-test
	$(PY) -m bench.gallery --write

# Figures are written down only from a quiet machine; rows that were not measured again stay as they are.
bench: $(VENV)/.installed-bench
	$(PY) -m bench --write $(BENCH_ARGUMENTS)

docs: $(VENV)/.installed-test
	PYTHONPATH=src:. $(PY) docs/site/build.py
	$(PYTEST) -m site tests/docs

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
