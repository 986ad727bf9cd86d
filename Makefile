# Each target makes the environment it needs: nothing has to be done before `make run` or `make test`.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
READY := $(VENV)/.made-from-constraints
IN := $(VENV)/bin/python

.PHONY: help run test test-slow test-int8 soak bench bench-gpu traces recordings studies lint clean
.DEFAULT_GOAL := help

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY)  ## open the app; ARGS="..." are passed on
	$(IN) app.py $(ARGS)

# In the order of the folders, the browser first: the longest files must not be the last ones.
TESTS = OMP_NUM_THREADS=1 $(IN) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY)  ## the tests that need no GPU and not minutes each; ARGS="-k grids" narrows them
	$(TESTS) -m "not cuda and not slow" $(ARGS)

test-slow: $(READY)  ## the ones that take longer: most of the browser's, a training, an installed bundle
	$(TESTS) -m "slow and not cuda" $(ARGS)

test-int8: $(READY)  ## the tests of 8-bit text encoders; torchao is installed for as long as they run
	$(IN) -m pip install --quiet --disable-pip-version-check -c constraints.txt torchao
	result=0; OMP_NUM_THREADS=1 $(IN) -m pytest tests/models/test_low_bits.py tests/models/test_quantised_folders.py \
		tests/models/test_lora_text_encoders.py \
		$(ARGS) || result=$$?; $(IN) -m pip uninstall --quiet --yes torchao; exit $$result

soak: $(READY)  ## load, kills, nonsense, cancels and faults on the real page; ARGS="kills --count 8" narrows it
	result=0; $(IN) -m tests.soak --record $(ARGS) || result=$$?; $(IN) -m tests.test_readme && exit $$result

bench: $(READY)  ## measure times and memory here
	$(IN) -m tests.bench $(ARGS)

bench-gpu: $(READY)  ## the tests that need a CUDA GPU, then the measurements on it
	$(IN) -m pytest -m cuda
	$(IN) -m tests.bench --device cuda $(ARGS)
	$(IN) -m tests.bench full-size --device cuda

traces: $(READY)  ## record anew the traces that ship, with the weights in assets/tiny
	rm -f assets/traces/*.safetensors && mkdir -p assets/traces
	$(IN) -m sd3demo trace "a red circle above a blue square" --out assets/traces/1-with-guidance.safetensors
	$(IN) -m sd3demo trace "a red circle above a blue square" --cfg 1 \
		--out assets/traces/2-without-guidance.safetensors
	$(IN) -m sd3demo trace 'the word "FLOW" in blue' --out assets/traces/3-a-written-word.safetensors

recordings: $(READY)  ## record anew the enlargement and the flows with which two tabs open
	$(IN) -m tests.record_larger
	$(IN) -m tests.record_flows

studies: $(READY)  ## record anew the studies that ship; ARGS="score=50 score-cfg=10" names some and their n
	$(IN) -m tests.record $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(IN) -m ruff check .
	$(IN) -m mypy

clean:  ## remove build outputs and caches; the environment, runs and checkpoints stay
	rm -rf build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache tests/screenshots
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; install one," \
		"or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(IN) -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(IN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,dev]"
	@touch $@
