"""The units under a real systemd: installed by `sentinel setup`, started, reloaded, hung, rebooted, removed.

One machine, one story: the tests run in the order of the file, and each leaves the machine as the next expects it.
What the sandbox forbids can only be seen here: each component does its work inside its unit.
"""

import json
import re
import sys
import time

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.service, pytest.mark.timeout(300)]

COMPONENTS = ("network", "logs", "firewall", "backup", "metrics")
UNITS = [f"sentinel-{name}.service" for name in COMPONENTS]
SHOP, CLIENT = "192.0.2.1", "192.0.2.66"
RULES = "/opt/sentinel/lib/python{}/site-packages/sentinel/data/rules"

CONFIG = f"""\
host: trial
network: {{interfaces: [wan0], rules: [RULES/network], vars: {{HOME_NET: [{SHOP}/32]}}}}
logs: {{rules: [RULES/logs], files: [{{path: /var/log/shop/access.log, format: nginx-access}}, {{path: journald, format: journald-json}}]}}
firewall: {{policy: /etc/sentinel/policy.yml, enforce: true}}
response: {{bans: {{mode: active, duration: 10m}}, minimum_level: high}}
backup:
  repositories: {{main: {{store: /var/lib/sentinel/repository, password_file: /etc/sentinel/repository.key}}}}
  jobs:
    files: {{source: {{paths: {{include: [/srv/shop]}}}}, repository: main, schedule: every 10s}}
    shop: {{source: {{postgresql: {{database: shop, port: 5499}}}}, repository: main, schedule: every 10s}}
metrics: {{listen: "127.0.0.1:9480"}}
"""
POLICY = """\
default: {inbound: drop, outbound: accept}
groups: {office: [198.51.100.0/24]}
services: {ssh: tcp/22, web: tcp/80}
inbound: [{allow: web}, {allow: ssh, from: office}]
failsafe: [{allow: ssh, from: office}]
never_ban: [office]
"""
NETWORK = f"""\
set -e
ip link set lo up
ip netns add client
ip link add wan0 type veth peer name eth0 netns client
ip addr add {SHOP}/24 dev wan0
ip link set wan0 up
ip -n client addr add {CLIENT}/24 dev eth0
ip -n client link set eth0 up
"""
# what the host guards: files only root may read, a log only adm may read, a database that knows the user sentinel
SHOP_FILES = """\
set -e
mkdir -p /srv/shop /var/log/shop
echo kept > /srv/shop/secret
chmod 600 /srv/shop/secret
chmod 700 /srv/shop
touch /var/log/shop/access.log
chgrp -R adm /var/log/shop
chmod 750 /var/log/shop
chmod 640 /var/log/shop/access.log
rm -rf /var/lib/postgresql/15/shop /etc/postgresql/15/shop
pg_createcluster 15 shop --port 5499 >/dev/null
pg_ctlcluster 15 shop start
runuser -u postgres -- createuser --port 5499 sentinel
runuser -u postgres -- createdb --port 5499 --owner sentinel shop
runuser -u sentinel -- psql -q --port 5499 shop -c 'CREATE TABLE orders AS SELECT generate_series(1, 100) AS id'
"""
REQUEST = f"""\
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://{SHOP}" + sys.argv[1], headers={{"User-Agent": "curl/7.88"}})
try:
    print(urllib.request.urlopen(request, timeout=3).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)
"""
SCRAPE = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
INJECTION = "/index.php?id=1%27%20UNION%20SELECT%20username,password%20FROM%20users--"


def shell(machine, script):
    return machine.run("bash", "-s", stdin=script)


def visit(machine, target):
    return machine.run("ip", "netns", "exec", "client", "python3", "-c", REQUEST, target).stdout.strip()


def scrape(machine):
    return machine.run("python3", "-c", SCRAPE, "http://127.0.0.1:9480/metrics").stdout


def alerts(machine, plane):
    path = machine.files / "var/lib/sentinel/journal" / f"{plane}.jsonl"
    events = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return [event for event in events if event["event_type"] == "alert"]


def ledger(machine, action):
    lines = machine.sentinel("ledger", "show", "--json", "--action", action).stdout.splitlines()
    return [json.loads(line) for line in lines]


def write(machine, path, text):
    (machine.files / path.lstrip("/")).write_text(text)


@pytest.fixture(scope="module")
def host(machine):
    """Installed and configured, not started."""
    shell(machine, NETWORK)
    machine.setup = machine.run("/opt/sentinel/bin/sentinel", "setup").stdout
    newest = max((path.name for path in (machine.files / "usr/lib/postgresql").iterdir()), key=int)
    shell(machine, SHOP_FILES.replace("/15/", f"/{newest}/").replace(" 15 ", f" {newest} "))
    rules = RULES.format("{}.{}".format(*sys.version_info))
    configuration = CONFIG.replace("RULES", rules)
    write(machine, "/etc/sentinel/sentinel.yml", configuration)
    write(machine, "/etc/sentinel/policy.yml", POLICY)
    machine.run(
        "systemd-run",
        "--quiet",
        "--unit=shop",
        "--working-directory=/usr/share/doc",
        "python3",
        "-m",
        "http.server",
        "80",
    )
    return machine


@pytest.fixture(scope="module")
def running(host):
    """Everything on, as README.md says."""
    host.sentinel("backup", "init", "main")
    host.run("systemctl", "enable", "--now", "sentinel-firewall-boot.service", "sentinel.target")
    return host


def test_setup_again_changes_nothing(host):
    assert "do  write /etc/systemd/system/sentinel.target" in host.setup
    again = host.sentinel("setup").stdout
    assert "  do  " not in again
    assert "sentinel" in host.run("id", "-nG", "sentinel").stdout
    assert host.run("stat", "-c", "%a %U", "/etc/sentinel/repository.key").stdout == "600 root\n"
    assert "SENTINEL(1)" in host.run("man", "-P", "cat", "sentinel").stdout


def test_first_configuration_only_observes_and_has_no_problem(host):
    host.sentinel("init", "/root/first")
    assert "no problems" in host.sentinel("check-config", "--config", "/root/first/sentinel.yml").stdout
    assert "enforce: false" in (host.files / "root/first/sentinel.yml").read_text()


def test_started_means_ready(running):
    """`systemctl start` returns when every Type=notify unit said READY."""
    for unit in UNITS:
        assert running.show(unit, "ActiveState") == "active", running.journal("-u", unit)
        assert running.show(unit, "NRestarts") == "0"
        assert running.show(unit, "StatusText").endswith("is running")
    assert {row["state"] for row in json.loads(running.sentinel("status", "--json").stdout)} == {"running"}
    assert (
        running.show("sentinel-webhook.service", "Result") == "exec-condition"
    )  # no section: skipped, not failed
    assert running.ask("systemctl", "--failed", "--plain", "--no-legend") == ""


@pytest.mark.parametrize(
    ("unit", "capabilities"),
    [
        ("network", ""),  # CAP_NET_RAW until the socket is open
        ("logs", ""),
        ("firewall", "cap_net_admin"),
        ("backup", "cap_dac_read_search"),
        ("metrics", ""),
    ],
)
def test_a_running_unit_holds_no_more_than_it_needs(running, unit, capabilities):
    pid = running.show(f"sentinel-{unit}.service", "MainPID")
    status = running.run("cat", f"/proc/{pid}/status").stdout
    held = int(re.search(r"CapEff:\s+(\w+)", status)[1], 16)
    names = {12: "cap_net_admin", 2: "cap_dac_read_search", 13: "cap_net_raw"}
    assert ",".join(names.get(bit, str(bit)) for bit in range(64) if held >> bit & 1) == capabilities
    assert re.search(r"NoNewPrivs:\s+1", status)
    assert re.search(r"Seccomp:\s+2", status)
    assert running.run("stat", "-c", "%U", f"/proc/{pid}").stdout == "sentinel\n"


def test_network_captures_and_names_the_unit(running):
    visit(running, "/?file=../../../../etc/passwd")
    found = running.until("an alert", lambda: alerts(running, "network"))
    assert found[0]["src_ip"] == CLIENT
    assert found[0]["process"]["unit"] == "shop.service"
    assert found[0]["process"]["name"].startswith("python3")


def test_logs_read_what_group_adm_may_read(running):
    line = f'198.51.100.9 - - [{time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())}] "GET {INJECTION} HTTP/1.1" 200 12 "-" "x"\n'
    with (running.files / "var/log/shop/access.log").open("a") as log:
        log.write(line)
    found = running.until("an alert", lambda: alerts(running, "logs"))
    assert found[0]["src_ip"] == "198.51.100.9"


def test_logs_follow_the_journal(running):
    script = "for n in $(seq 30); do logger -t sshd -p auth.info 'Failed password for root from 198.51.100.77 port 4711 ssh2'; done"
    shell(running, script)
    running.until(
        "an alert", lambda: [a for a in alerts(running, "logs") if a.get("src_ip") == "198.51.100.77"]
    )


def test_firewall_holds_the_policy_repairs_it_and_bans(running):
    assert "80" in running.run("nft", "list", "table", "inet", "sentinel").stdout
    running.until("a ban", lambda: CLIENT in running.ask("nft", "list", "table", "inet", "sentinel"))
    assert "timed out" in visit(running, "/")
    running.sentinel("firewall", "unban", CLIENT)
    assert visit(running, "/") == "200"
    running.run("nft", "flush", "table", "inet", "sentinel")
    running.until("the repair", lambda: "80" in running.ask("nft", "list", "table", "inet", "sentinel"))
    assert ledger(running, "firewall.ban")
    assert not any(record["subject"] == SHOP for record in ledger(running, "firewall.ban"))


def test_backup_reads_root_files_and_dumps_the_database(running):
    """On schedule, inside the unit; the key is root's and comes as a credential; stock restic reads the result."""
    for job in ("files", "shop"):
        running.until(
            f"job {job}", lambda job=job: any(r["subject"] == job for r in ledger(running, "backup.run")), 90
        )
    results = {record["subject"]: record["detail"] for record in ledger(running, "backup.run")}
    assert {detail["result"] for detail in results.values()} == {"ok"}, results
    restic = [
        "restic",
        "--no-cache",
        "-r",
        "/var/lib/sentinel/repository",
        "-p",
        "/etc/sentinel/repository.key",
    ]
    assert "no errors were found" in running.run(*restic, "check").stdout
    assert (
        running.run(*restic, "dump", "--path", "/srv/shop", "latest", "/srv/shop/secret").stdout == "kept\n"
    )


def test_metrics_of_all_components_on_one_page(running):
    page = scrape(running)
    for name in COMPONENTS:
        assert f'sentinel_component_up{{component="{name}"}} 1.0' in page


def test_reload_swaps_and_a_mistake_changes_nothing(running):
    running.run("systemctl", "reload", "sentinel-logs.service")
    running.until(
        "reloaded", lambda: "last reload: ok" in running.show("sentinel-logs.service", "StatusText")
    )
    good = (running.files / "etc/sentinel/sentinel.yml").read_text()
    write(running, "/etc/sentinel/sentinel.yml", good.replace("files: [", "flies: ["))
    running.run("systemctl", "reload", "sentinel-logs.service")
    running.until(
        "refused", lambda: "last reload: refused" in running.show("sentinel-logs.service", "StatusText")
    )
    assert "unknown key 'logs.flies'" in running.journal("-u", "sentinel-logs")
    assert running.show("sentinel-logs.service", "ActiveState") == "active"
    write(running, "/etc/sentinel/sentinel.yml", good)


def test_a_mistake_of_one_plane_stops_no_other(running):
    good = (running.files / "etc/sentinel/policy.yml").read_text()
    write(running, "/etc/sentinel/policy.yml", good.replace("allow: web", "alow: web"))
    running.run("systemctl", "restart", "sentinel-metrics.service")
    running.run("systemctl", "restart", "sentinel-firewall.service", check=1)
    assert "policy.yml:4" in running.journal("-u", "sentinel-firewall")
    write(running, "/etc/sentinel/policy.yml", good)
    running.run("systemctl", "restart", "sentinel-firewall.service")
    assert running.show("sentinel-firewall.service", "ActiveState") == "active"


def test_a_hanging_component_is_killed_by_the_watchdog_and_comes_back(running):
    drop_in = running.files / "etc/systemd/system/sentinel-metrics.service.d"
    drop_in.mkdir(exist_ok=True)
    (drop_in / "50-watchdog.conf").write_text("[Service]\nWatchdogSec=2\n")
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "sentinel-metrics.service")
    pid = running.show("sentinel-metrics.service", "MainPID")
    running.run("kill", "-STOP", pid)
    running.until("started anew", lambda: running.show("sentinel-metrics.service", "NRestarts") == "1")
    running.until("active", lambda: running.show("sentinel-metrics.service", "ActiveState") == "active")
    assert running.show("sentinel-metrics.service", "MainPID") != pid
    assert "Watchdog timeout" in running.journal("-u", "sentinel-metrics")


def test_an_unconfirmed_policy_goes_back_though_everything_of_ours_was_killed(running):
    """The rollback is a transient timer of systemd, not a process of Sentinel's."""
    before = running.run("nft", "list", "chain", "inet", "sentinel", "in_services", check=None).stdout
    wider = (
        (running.files / "etc/sentinel/policy.yml")
        .read_text()
        .replace("[{allow: web}", "[{allow: web}, {allow: postgresql}")
    )
    write(running, "/root/wider.yml", wider.replace("ssh: tcp/22,", "ssh: tcp/22, postgresql: tcp/5432,"))
    running.sentinel("firewall", "apply", "--policy", "/root/wider.yml", "--timeout", "6s")
    assert "5432" in running.run("nft", "list", "table", "inet", "sentinel").stdout
    assert "sentinel-rollback" in running.ask("systemctl", "list-timers", "--no-pager")
    running.run("systemctl", "kill", "--signal=KILL", *UNITS)
    running.run("systemctl", "stop", "sentinel.target", *UNITS)
    running.until(
        "rolled back", lambda: "5432" not in running.ask("nft", "list", "table", "inet", "sentinel")
    )
    assert "80" in running.run("nft", "list", "table", "inet", "sentinel").stdout
    running.until("in the books", lambda: ledger(running, "firewall.rollback"))
    assert running.run("nft", "list", "chain", "inet", "sentinel", "in_services", check=None).stdout == before


def test_after_a_power_cut_the_ruleset_is_there_before_the_network(running):
    running.power_off()
    running.boot()
    boot = "sentinel-firewall-boot.service"
    running.until(
        "all units", lambda: {running.show(unit, "ActiveState") for unit in UNITS} <= {"active", "activating"}
    )
    assert running.show(boot, "ActiveState") == "active", running.journal("-u", boot)
    assert "80" in running.run("nft", "list", "table", "inet", "sentinel").stdout
    assert boot in running.ask("systemctl", "show", "--property=After", "network-pre.target")
    assert (
        0
        < int(running.show(boot, "ActiveEnterTimestampMonotonic"))
        <= int(running.show("sentinel-firewall.service", "InactiveExitTimestampMonotonic"))
    )
    assert "version" in running.journal("-u", boot)


def test_single_unit_runs_everything_instead(running):
    shell(running, NETWORK)
    running.run("systemctl", "stop", "sentinel.target")
    running.run("systemctl", "start", "sentinel.service")
    assert running.show("sentinel.service", "StatusText") == "all components are running"
    assert not {running.show(unit, "ActiveState") for unit in UNITS} & {"active", "activating"}
    assert {row["state"] for row in json.loads(running.sentinel("status", "--json").stdout)} == {"running"}
    running.run("systemctl", "stop", "sentinel.service")
    assert running.show("sentinel.service", "Result") == "success"


def test_uninstall_leaves_data(running):
    done = running.run("/opt/sentinel/bin/sentinel", "setup", "--uninstall").stdout
    assert "left alone" in done
    assert running.run("systemctl", "list-unit-files", "sentinel*", "--no-legend", check=None).stdout == ""
    for kept in ("etc/sentinel/sentinel.yml", "etc/sentinel/repository.key", "var/lib/sentinel/ledger.jsonl"):
        assert (running.files / kept).exists()
    assert not (running.files / "usr/local/share/man/man1/sentinel.1").exists()
