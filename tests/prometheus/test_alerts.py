"""Every alert rule fires when it should and stays silent when it should not, as promtool sees it."""

import re
import subprocess
from pathlib import Path

import pytest

from sentinel import metrics, yamlfile

ROOT = Path(__file__).parents[2]
RULES = ROOT / "sentinel" / "prometheus" / "alerts.yml"

# alert -> (series that make it fire, series that do not); each (selector, values), one value a minute
CASES = {
    "SentinelComponentDown": (
        [('sentinel_component_up{component="logs"}', "0x30")],
        [
            ('sentinel_component_up{component="logs"}', "1x30"),
            ('sentinel_component_report_age_seconds{component="logs"}', "4x30"),
        ],
    ),
    "SentinelComponentRestarts": (
        [('sentinel_component_restarts_total{component="logs"}', "0+1x30")],
        [('sentinel_component_restarts_total{component="logs"}', "0 1 1x28")],
    ),
    "SentinelReloadRefused": (
        [('sentinel_reloads_total{component="logs",result="refused"}', "0x20 1x10")],
        [('sentinel_reloads_total{component="logs",result="ok"}', "0+1x30")],
    ),
    "SentinelLedgerWentBack": (
        [("sentinel_ledger_sequence", "50x20 20x10")],
        [("sentinel_ledger_sequence", "50+1x30")],
    ),
    "SentinelLedgerRewritten": (
        [("sentinel_ledger_sequence", "50x40"), ("sentinel_ledger_head", "7x25 8x15")],
        [("sentinel_ledger_sequence", "50x25 51x15"), ("sentinel_ledger_head", "7x25 8x15")],
    ),
    "SentinelWebhookFails": (
        [('sentinel_webhook_alerts_total{result="given_up"}', "0+1x30")],
        [
            ('sentinel_webhook_alerts_total{result="given_up"}', "4x30"),
            ('sentinel_webhook_alerts_total{result="sent"}', "0+1x30"),
        ],
    ),
    "SentinelLogLinesLost": (
        [("sentinel_log_generations_lost_total", "0x20 1x10")],
        [("sentinel_log_generations_lost_total", "1x30")],
    ),
    "SentinelRepositoryDamaged": (
        [('sentinel_backup_check_problems{repository="main"}', "2x30")],
        [('sentinel_backup_check_problems{repository="main"}', "0x30")],
    ),
    "SentinelExceptionEnded": (
        [('sentinel_alert_exceptions{state="ended"}', "1x90")],
        [
            ('sentinel_alert_exceptions{state="ended"}', "0x90"),
            ('sentinel_alert_exceptions{state="active"}', "3x90"),
        ],
    ),
    "SentinelPacketsLost": (
        [
            ('sentinel_network_dropped_packets_total{interface="eth0",reason="ring_full"}', "0+60x30"),
            ('sentinel_network_packets_total{interface="eth0"}', "0+6000x30"),
        ],
        [
            ('sentinel_network_dropped_packets_total{interface="eth0",reason="ring_full"}', "0+1x30"),
            ('sentinel_network_packets_total{interface="eth0"}', "0+60000x30"),
        ],
    ),
    "SentinelNoPackets": (
        [('sentinel_network_last_packet_timestamp_seconds{interface="eth0"}', "0x30")],
        [('sentinel_network_last_packet_timestamp_seconds{interface="eth0"}', "0+60x30")],
    ),
    "SentinelRulesFailed": (
        [('sentinel_rules_failed{plane="network"}', "3x30")],
        [('sentinel_rules_failed{plane="network"}', "0x30")],
    ),
    "SentinelLogQuiet": (
        [('sentinel_log_quiet{file="a"}', "1x30")],
        [('sentinel_log_quiet{file="a"}', "0x30")],
    ),
    "SentinelLogUnparsed": (
        [
            ('sentinel_log_lines_unparsed_total{file="a"}', "0+10x60"),
            ('sentinel_log_lines_total{file="a"}', "0+100x60"),
        ],
        [
            ('sentinel_log_lines_unparsed_total{file="a"}', "0+1x60"),
            ('sentinel_log_lines_total{file="a"}', "0+100x60"),
        ],
    ),
    "SentinelCriticalAlerts": (
        [('sentinel_alerts_total{level="critical",source="log"}', "0x25 1x5")],
        [('sentinel_alerts_total{level="medium",source="log"}', "0+9x30")],
    ),
    "SentinelAttackWave": (
        [('sentinel_alerts_total{level="high",source="log"}', "0+90x30")],
        [('sentinel_alerts_total{level="high",source="log"}', "0+6x30")],
    ),
    "SentinelEvictions": (
        [('sentinel_detect_evictions_total{table="flows"}', "0+5x40")],
        [('sentinel_detect_evictions_total{table="flows"}', "7x40")],
    ),
    "SentinelFirewallDrift": (
        [('sentinel_firewall_drift_total{kind="chain",result="repaired"}', "0x25 1x5")],
        [('sentinel_firewall_drift_total{kind="chain",result="repaired"}', "4x30")],
    ),
    "SentinelFirewallOutOfSync": (
        [("sentinel_firewall_in_sync", "0x30")],
        [("sentinel_firewall_in_sync", "1x30")],
    ),
    "SentinelFirewallPending": (
        [("sentinel_firewall_pending", "1x30")],
        [("sentinel_firewall_pending", "1x3 0x27")],
    ),
    "SentinelFirewallNamesStale": (
        [("sentinel_firewall_name_age_seconds", "3000+60x30")],
        [("sentinel_firewall_name_age_seconds", "20x30")],
    ),
    "SentinelBanBudget": (
        [('sentinel_firewall_ban_decisions_total{outcome="budget"}', "0x25 1x5")],
        [('sentinel_firewall_ban_decisions_total{outcome="banned"}', "0+1x30")],
    ),
    "SentinelBackupFailed": (
        [('sentinel_backup_last_run_success{backup_job="shop"}', "0x30")],
        [('sentinel_backup_last_run_success{backup_job="shop"}', "1x30")],
    ),
    "SentinelBackupOverdue": (
        [('sentinel_backup_overdue{backup_job="shop"}', "1x30")],
        [('sentinel_backup_overdue{backup_job="shop"}', "0x30")],
    ),
    "SentinelDrillFailed": (
        [('sentinel_drill_last_run_success{backup_job="shop"}', "0x30")],
        [('sentinel_drill_last_run_success{backup_job="shop"}', "1x30")],
    ),
    "SentinelDrillOverdue": (
        [('sentinel_drill_overdue{backup_job="shop"}', "1x90")],
        [('sentinel_drill_overdue{backup_job="shop"}', "0x90")],
    ),
}


def rules():
    document = yamlfile.construct(yamlfile.compose(RULES.read_text(), str(RULES)), str(RULES))
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)


def unit_tests(alert, series, minute, tmp_path):
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in series],
                "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yamlfile.dump(test))
    return promtool("test", "rules", path)


def test_promtool_accepts_the_rules():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stderr + done.stdout


def test_every_alert_has_a_case():
    assert set(CASES) == set(rules())


@pytest.mark.parametrize("alert", CASES)
def test_fires_and_does_not(alert, tmp_path):
    firing, silent = CASES[alert]
    minute = 85 if "x90" in firing[0][1] else 35 if re.search(r"x[46]0", firing[0][1]) else 28
    fired = unit_tests(alert, firing, minute, tmp_path)
    assert fired.returncode == 1
    assert f"alertname: {alert}," in fired.stdout + fired.stderr
    calm = unit_tests(alert, silent, minute, tmp_path)
    assert calm.returncode == 0, calm.stdout + calm.stderr


@pytest.mark.parametrize("alert", CASES)
def test_the_series_of_a_case_have_the_labels_that_we_export(alert):
    declared = {m.name: m for m in vars(metrics).values() if isinstance(m, metrics.Metric)}
    for series, _ in (*CASES[alert][0], *CASES[alert][1]):
        name, _, labels = series.partition("{")
        assert sorted(re.findall(r"(\w+)=", labels)) == sorted(declared[name].labels), series


@pytest.mark.parametrize("alert", CASES)
def test_metrics_and_runbooks_exist(alert):
    rule = rules()[alert]
    declared = {m.name for m in vars(metrics).values() if isinstance(m, metrics.Metric)}
    assert set(re.findall(r"sentinel_[a-z_]+", rule["expr"])) <= declared
    runbook = rule["annotations"]["runbook"]
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert runbook.startswith("sentinel ") or runbook in playbooks
    assert {"summary", "description"} <= set(rule["annotations"])
    assert rule["labels"]["severity"] in {"warning", "critical"}
