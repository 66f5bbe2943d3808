# otakit. Every target prepares what it needs by itself; all that is made lies in build/.

BENCH ?= install
JSON ?=
ARGS ?=
BOARD ?= qemu-arm64
DO ?= console

NATIVE := $(filter-out ota/native/_%,$(wildcard ota/native/*.py ota/native/*.c ota/native/*.h))
RUN := PATH="$(CURDIR)/build/venv/bin:$(CURDIR)/build/tools/bin:$$PATH"
SCRIPTS := .ci/run $(wildcard bench/*.sh bench/*/*.sh docs/ci/*.sh)

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults test-compat test-build test-boards board bench lint format setup tools clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: setup ## build an update of a small Debian and install it, step by step
	@$(RUN) bench/tools/get.py nginx
	@$(RUN) bench/images/make_images.sh demo
	@$(RUN) python bench/demo.py

test: setup tools ## run the tests; ARGS="-k word" for some
	@$(RUN) pytest -n auto -m "not faults and not compat and not build and not boards" $(ARGS)

test-faults: setup tools ## kill updates at random moments; prints how many, and what went wrong
	@$(RUN) pytest -q -m faults $(ARGS)

test-compat: setup tools ## run packages through stock SWUpdate and ours; writes the tables in docs/
	@$(RUN) pytest -n auto -m compat $(ARGS)
	@$(RUN) python docs/tables.py

test-build: setup tools ## build, price and publish releases of real images; with a browser and an object store
	@$(RUN) bench/tools/get.py chromium chromedriver
	@$(RUN) bench/images/make_images.sh bench
	@$(RUN) pytest -n auto -m build $(ARGS)

test-boards: setup ## boot emulated boards with an eMMC and update them; makes all that they need
	@$(RUN) pytest -n 2 --maxschedchunk 1 -m boards $(ARGS)

board: setup ## boot an emulated board; DO=console (default: it is this terminal, Ctrl-A x ends it) or update
	@$(RUN) python qemu-tests/run.py $(DO) $(BOARD)

bench: setup tools ## measure; BENCH=install (default), boards, engine, estimate, handlers or packager; JSON=1
	@$(RUN) KINDS="$(if $(filter estimate,$(BENCH)),ext4 squashfs erofs,ext4)" bench/images/make_images.sh bench
	@$(RUN) python bench/$(BENCH).py $(if $(JSON),--json) $(ARGS)

lint: setup ## check style, types and scripts
	@$(RUN) bench/tools/get.py shellcheck
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) shellcheck $(SCRIPTS)

format: setup ## bring the sources into their form
	@$(RUN) ruff check --fix-only --quiet
	@$(RUN) ruff format

setup: build/venv/.done

# Of the native sources only ours: _*.c are made from them.
build/venv/.done: pyproject.toml setup.py bench/setup.sh $(NATIVE)
	@bench/setup.sh
	@touch $@

tools: setup
	@$(RUN) bench/tools/get.py --all

clean: ## remove all that was made
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis ota/native/_*.c ota/native/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
