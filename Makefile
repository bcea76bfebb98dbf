# `make demo` and `make test` set up everything they need on a fresh Debian 12 (see .ci/setup).
.PHONY: demo test lint

demo:
	@bash .ci/setup demo
	@.venv/bin/sentinel demo $(ARGS)

test:
	@bash .ci/setup test
	@.venv/bin/python -m pytest $(ARGS)

lint:
	@bash .ci/setup test
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
