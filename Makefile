# `make demo` and `make test` need Python 3.11 or newer and make; they set up everything else themselves, in .venv.
PYTHON ?= python3
PACKAGES = config longhaul tasks workers cli service
BIN = .venv/bin

.PHONY: help install demo up test slow check bench mutate chaos soak intake rabbitmq lock clean

help:  ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

install: .venv/run  ## Make the environment in .venv and run nothing: for a machine of several

demo: .venv/run  ## Run 100 real scrape jobs and a crawl on this machine (URL='...' or URLS=file for your own)
	@$(BIN)/python -m workers.local.demo

up: .venv/run  ## Run everything on this machine until Ctrl-C
	@$(BIN)/longhaul up

test: check  ## Lint, types, architecture and tests: what CI runs
	$(BIN)/pytest -q -n 2 --dist loadfile

slow: .venv/dev  ## Tests that take a minute or more each: frozen connections, killed workers, a second beat, deeper models, a short soak
	$(BIN)/pytest -q -m slow

check: .venv/dev  ## Lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint.lua

bench: .venv/dev  ## Measure, side by side on this machine: see docs/benchmarks.md
	$(BIN)/python -m benchmarks

mutate: .venv/dev  ## Break each guard in a copy and see that a test fails, in 10 minutes (ONLY='claim move' for some)
	$(BIN)/python -m tests.mutate $(if $(ONLY),--only $(ONLY))

chaos: .venv/dev  ## Prove by force that nothing is lost, in 20 minutes (SEED=n repeats a run): see docs/reliability.md
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

soak: .venv/dev  ## Let 100,000 jobs wait for 30 minutes, with an outage and a stop of all workers, in 40 minutes: see docs/reliability.md
	$(BIN)/python -m tests.soak

intake: .venv/dev  ## Kill 210 busy workers on the Redis broker and miss no job, in six minutes
	$(BIN)/python -m tests.chaos.intake

rabbitmq: .venv/dev  ## RabbitMQ as the broker: the main job, then workers killed under load (needs rabbitmq-server on the PATH)
	$(BIN)/python -m tests.chaos.rabbitmq

lock:  ## Pin the dependencies anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade pyproject.toml -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:  ## Remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip alone, with every file's hash checked. setuptools comes pinned like the rest, so nothing is fetched beside the list.
.venv/run: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Longhaul needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || { echo "Making the environment in .venv (once, about a minute) ..."; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
