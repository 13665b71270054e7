# Everything from a bare machine: Python 3.10 or newer, git and make. No system
# library is needed: hence OpenCV's headless wheel, one instead of the two that
# MMCV and MMAction2 declare, which draw windows and need libGL and X11.
# PyTorch comes first and with all that its build declares (CUDA's libraries);
# the rest is in requirements/ whole, so that no declaration is followed.
#
#   PYTHON=python3.12     the Python that makes the environment
#   VENV=DIR              where the environment lies
#   TORCH_INDEX=URL       a further package index to take PyTorch's build from,
#                         for instance PyTorch's own index of CPU wheels
#   DEMO_ARGS='...'       arguments of tools/demo.py
#   CHECKPOINT=FILE       the detector of make web and make export
#   WEB_ARGS='...'        further arguments of tools/web.py
#   TEST_ARGS='...'       arguments of pytest
#   TEST_WORKERS=N        processes that share the tests, of which some wait; 0 for none
#   GPU_PYTHON=FILE       the Python of make gpu, with all requirements
#   GPU_ARGS='...'        arguments of tests/gpu/run.py

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_WORKERS ?= 3
CHECKPOINT ?=
WEB_ARGS ?=
GPU_PYTHON ?=
GPU_ARGS ?=

LINTED := gml_mmaction configs docs tools tests setup.py
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
INSTALLED := $(VENV)/.installed
WEB_INSTALLED := $(VENV)/.web-installed
EXPORT_INSTALLED := $(VENV)/.export-installed
TEST_INSTALLED := $(VENV)/.test-installed
ORACLES := $(VENV)/oracles
DOCS := $(VENV)/docs

AUDIT := $(VENV)/audit
# Files in the order of tests/conftest.py: the dearest first.
PYTEST := $(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadfile \
    --no-loadscope-reorder

.PHONY: help install demo web export check test gpu triton lint docs doctor \
    audit drills clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | \
	    sed -E 's/^([a-z]+):.*## (.*)$$/  make \1\t\2/' | expand -t 16

install: $(INSTALLED) ## make the environment and install everything

demo: $(INSTALLED) ## from made-up videos to a tested detector
	$(BIN)/python tools/demo.py $(DEMO_ARGS)

web: $(WEB_INSTALLED) ## a page for videos of one's own: CHECKPOINT=best.pth
	$(BIN)/python tools/web.py $(CHECKPOINT) $(WEB_ARGS)

export: $(EXPORT_INSTALLED) ## an ONNX file of a detector: CHECKPOINT=best.pth
	$(BIN)/python tools/export.py $(CHECKPOINT)

check test: export OMP_NUM_THREADS ?= 1
check test: export MPLBACKEND ?= Agg
check: lint ## lint and the quick tests, an answer while you work
	$(PYTEST) -m 'not slow' $(TEST_ARGS)

test: export GML_TEST_ORACLES ?= $(abspath $(ORACLES))
test: export GML_TEST_DOCS ?= $(abspath $(DOCS))
test: lint $(ORACLES) $(DOCS) ## lint and run the tests
	$(PYTEST) $(TEST_ARGS)

gpu: $(if $(GPU_PYTHON),,$(TEST_INSTALLED)) ## benchmark and tests on a GPU, in 8 minutes
	$(or $(GPU_PYTHON),$(BIN)/python) tests/gpu/run.py $(GPU_ARGS)

triton: $(TEST_INSTALLED) ## try the kernel for GPUs in an interpreter, and compile it
	$(PIP) install -q --no-deps triton==3.7.1
	$(BIN)/python -m pytest -q tests/kernels/test_gpu.py

lint: $(TEST_INSTALLED) ## check style, format, types and who imports whom
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED) $(DOCS) ## the documents as a site, docs/_build/index.html
	PYTHONPATH=$(DOCS) $(BIN)/python -m sphinx -W --keep-going -q docs \
	    docs/_build

doctor: $(INSTALLED) ## say what is installed and what is wrong with it
	$(BIN)/gml doctor

drills: export PYTHONPATH := .:tests
drills: export OMP_NUM_THREADS ?= 1
drills: $(TEST_INSTALLED) ## the long form of every fault drill
	$(BIN)/python tests/engine/drill.py "$$(mktemp -d)/run" --kills 20
	$(BIN)/python tests/fuzz/fuzz.py --inputs 10000
	$(BIN)/python -m pytest -q tests/engine/test_faults.py \
	    tests/engine/test_resume.py tests/test_no_network.py
	GML_TEST_EXPORTS=1 $(BIN)/python -m pytest -q tests/apis/test_export.py

audit: $(BIN)/python ## compare the pinned versions with known vulnerabilities
	test -x $(AUDIT)/bin/pip-audit || { $(BIN)/python -m venv $(AUDIT) && \
	    $(AUDIT)/bin/pip install -q pip-audit; }
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip \
	    $(foreach name,pinned web export test,-r requirements/$(name).txt)

clean: ## remove the environment, caches and build files
	test ! -f $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	rm -rf .dist_test .import_linter_cache .mypy_cache .pytest_cache \
	    .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf docs/_build docs/api

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo 'Python 3.10 or newer is needed and $(PYTHON) is not one:' \
	        'choose it, as in make install PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo '$(PYTHON) cannot make environments: install its venv' \
	        'package (apt-get install python3-venv)' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements/pinned.txt setup.py pyproject.toml | $(BIN)/python
	$(PIP) install $(INDEX) -c requirements/pinned.txt torch
	$(PIP) install $(INDEX) --no-deps -r requirements/pinned.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	$(BIN)/python -m gml_mmaction.kernels.build || \
	    echo 'The CPU kernel is left out: the same results, more slowly.'
	@touch $@

$(WEB_INSTALLED): requirements/web.txt $(INSTALLED)
	$(PIP) install $(INDEX) --no-deps -r requirements/web.txt
	@touch $@

$(EXPORT_INSTALLED): requirements/export.txt $(INSTALLED)
	$(PIP) install $(INDEX) --no-deps -r requirements/export.txt
	@touch $@

$(TEST_INSTALLED): requirements/test.txt requirements/web.txt \
    requirements/export.txt $(INSTALLED)
	$(PIP) install $(INDEX) --no-deps -r requirements/test.txt
	@touch $@

$(ORACLES): requirements/oracles.txt $(INSTALLED)
	rm -rf $@
	$(PIP) install $(INDEX) --no-deps --target $@ -r $<
	@touch $@

$(DOCS): requirements/docs.txt $(INSTALLED)
	rm -rf $@
	$(PIP) install $(INDEX) --no-deps --target $@ -r $<
	@touch $@
