# make help says what there is to do.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := PYTHON="$(PYTHON)" VENV="$(VENV)" scripts/setup.sh
# A second run has nothing to set up, unless what is to be installed has changed.
READY := $(VENV)/.ready-
INPUTS := pyproject.toml scripts/setup.sh
# npm writes this file last.
EXAMPLES := examples/node/node_modules/.package-lock.json
BENCH := $(BIN)/python -m bench
TEST := $(BIN)/python scripts/run_tests.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-pgtap test-isolation test-python test-migrations \
    lint format checksums schema reference system proof-tools clean mutation \
    test-model chaos proof soak bench bench-full races isolation-specs

help:
	@echo 'make demo             the same faults on plain tables and on guarded ones'
	@echo '                      DOCS=folder takes images and PDFs of your own'
	@echo 'make test             every test on PostgreSQL 18 and on the one of this system'
	@echo 'make test-pgtap       only pgTAP           (ONLY=db/tests/functions/working)'
	@echo 'make test-isolation   only the races       (ONLY=claim_against_delete)'
	@echo 'make test-python      only pytest          (ONLY=pydriver/tests/unit)'
	@echo 'make test-migrations  only the migrations'
	@echo 'make proof            the protocol as a model, every race of two calls, and'
	@echo '                      faults (a quick round, minutes)'
	@echo 'make test-model       only the model, checked by spin'
	@echo 'make races            only the races of every two calls (minutes)'
	@echo 'make chaos            faults, PgBouncer, upgrade under load (ARGS=--quick)'
	@echo 'make soak             the search for counterexamples, for ten minutes'
	@echo 'make bench            measures, beside the hand-written way and others (minutes)'
	@echo 'make bench-full       the same at length, for docs/benchmarks.md (hours)'
	@echo 'make mutation         takes each guard out and shows which test fails (hours)'
	@echo 'make lint             ruff, mypy, sqlfluff, squawk, pgspot'
	@echo 'make format           ruff format, and what ruff can repair'
	@echo 'make schema           writes db/schema.sql anew, after a change of the schema'
	@echo 'make reference        writes docs/reference.md anew, from the comments'
	@echo 'make isolation-specs  writes the specs of pairs anew, from scripts/pairs/calls.py'
	@echo 'make checksums        records the checksums of new migrations'
	@echo 'make clean            removes .venv and what the tests left behind'

demo: $(READY)demo
	@$(BIN)/ocr-guardrails demo $(if $(DOCS),--docs "$(DOCS)")

test: system $(READY)test $(EXAMPLES)
	@$(TEST)

test-pgtap: system $(READY)test
	@$(TEST) --suite pgtap

test-isolation: system $(READY)test
	@$(TEST) --suite isolation

test-python: system $(READY)test $(EXAMPLES)
	@$(TEST) --suite python

test-migrations: system $(READY)test
	@$(BIN)/python scripts/run_tests.py --suite python \
	    --only pydriver/tests/migration $(ARGS)

lint: $(READY)lint
	@$(BIN)/python scripts/lint.py $(ARGS)

format: $(READY)lint
	@$(BIN)/ruff check --quiet --fix pydriver scripts bench
	@$(BIN)/ruff format --quiet pydriver scripts bench

checksums: $(READY)demo
	@$(BIN)/python -m ocr_guardrails.sqlfiles

test-model: proof-tools $(READY)test
	@$(BIN)/python scripts/check_model.py $(ARGS)

races: system $(READY)test
	@$(BIN)/python scripts/isolation_pairs.py --prove $(ARGS)

chaos: system proof-tools $(READY)test
	@$(BIN)/python scripts/chaos.py $(ARGS)

soak: system $(READY)test
	@OCR_GUARDRAILS_SOAK_SECONDS=$${OCR_GUARDRAILS_SOAK_SECONDS:-600} \
	    $(BIN)/python -m pytest -p no:cacheprovider pydriver/tests/search

proof: test-model races
	@$(MAKE) --no-print-directory chaos ARGS=--quick

bench: $(READY)bench
	@rm -rf .bench
	@$(BENCH) throughput --quick --output .bench/throughput.json
	@$(BENCH) latency --quick --output .bench/latency.json
	@$(BENCH) growth --quick --output .bench/growth.json
	@$(BENCH) churn --quick --output .bench/churn.json
	@$(BENCH) worker --quick --output .bench/worker.json
	@$(BENCH) guards --quick --output .bench/guards.json
	@$(BENCH) report --results .bench --no-charts --output .bench/benchmarks.md
	@cat .bench/benchmarks.md

# On the oldest supported PostgreSQL and, where the versions differ, on the newest.
bench-full: $(READY)bench
	@$(BENCH) throughput --output bench/results/throughput.json
	@$(BENCH) throughput --server wheel --output bench/results/throughput-wheel.json
	@$(BENCH) latency --output bench/results/latency.json
	@$(BENCH) growth --output bench/results/growth.json
	@$(BENCH) churn --output bench/results/churn.json
	@$(BENCH) worker --output bench/results/worker.json
	@$(BENCH) guards --output bench/results/guards.json
	@$(BENCH) report

mutation: system $(READY)test
	@$(BIN)/python scripts/mutate.py $(if $(ONLY),--only $(ONLY)) $(ARGS)

schema: $(READY)test
	@OCR_GUARDRAILS_WRITE_SCHEMA=1 $(BIN)/python -m pytest -q \
	    pydriver/tests/migration/test_schema.py

reference: $(READY)test
	@$(BIN)/python scripts/reference.py

isolation-specs: $(READY)test
	@$(BIN)/python scripts/isolation_pairs.py

system:
	@$(SETUP) system

proof-tools:
	@$(SETUP) proof

clean:
	rm -rf $(VENV) .test-logs .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	    build dist bench/systems/node/node_modules examples/node/node_modules \
	    examples/rust/target
	find pydriver scripts db bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY)demo: $(INPUTS)
	@$(SETUP) venv demo
	@touch $@

$(READY)test: $(INPUTS)
	@$(SETUP) venv test,embedded,ocr,demo
	@touch $@

$(EXAMPLES): examples/node/package-lock.json | $(READY)test
	@$(SETUP) examples

$(READY)bench: $(INPUTS) bench/systems/node/package-lock.json
	@$(SETUP) peers
	@touch $@

$(READY)lint: $(INPUTS)
	@$(SETUP) venv lint,test,embedded,ocr,demo
	@touch $@
