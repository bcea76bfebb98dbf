# `make demo` and `make test` set up everything they need on a fresh Debian 12 (see .ci/setup).
# Benches compare with a peer or a limit in the same run; soaks and fuzzing take as long as they are told to.
.PHONY: demo test lint bench-network bench-live bench-hostile bench-logs bench-groups bench-firewall bench-backup bench-idle differential soak soak-logs soak-backup fuzz

PYTHON = .venv/bin/python

demo:
	@bash .ci/setup demo
	@.venv/bin/sentinel demo $(ARGS)

test:
	@bash .ci/setup test
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

lint:
	@bash .ci/setup test
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

bench-network bench-live bench-hostile bench-logs bench-groups bench-firewall bench-backup bench-idle: bench-%:
	@bash .ci/setup bench
	@$(PYTHON) tests/bench/bench_$*.py $(ARGS)

# random rules and traffic through the Suricata of bench-network's setup and through Sentinel
differential:
	@bash .ci/setup bench
	@PYTHONPATH=tests/soak $(PYTHON) -m differential $(ARGS)

soak: soak-logs soak-backup

soak-logs soak-backup: soak-%:
	@bash .ci/setup test
	@$(PYTHON) tests/soak/kill_$*.py $(ARGS)

# every parser, reader and rule language for SECONDS (600 by default) with coverage guidance, then all log formats
SECONDS ?= 600
PARSERS = dcerpc dhcp dns ftp http http2 ike krb5 mqtt nfs ntp pgsql quic rfb sip smb smtp snmp ssh tftp tls
NETWORK = frames paths pcap pcapng rules thresholds reputation

fuzz:
	@bash .ci/setup fuzz
	@for p in $(PARSERS); do $(PYTHON) tests/fuzz/fuzz_apps.py $$p $(SECONDS) || exit 1; done
	@for t in $(NETWORK); do $(PYTHON) tests/fuzz/fuzz_network.py $$t $(SECONDS) || exit 1; done
	@$(PYTHON) tests/fuzz/fuzz_logs.py --seconds $(SECONDS)
