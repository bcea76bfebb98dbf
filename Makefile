# Both commands set up everything on a fresh Debian 12: see .ci/setup.
.PHONY: demo test lint

demo:
	@bash .ci/setup demo
	@.venv/bin/sentinel demo

test:
	@bash .ci/setup test
	@.venv/bin/python -m pytest

lint:
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
