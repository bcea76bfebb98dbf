"""Without its capability a command says which one it needs and how to grant it; nothing is an internal error."""

import os
import shutil
import subprocess
import sys

import pytest

CONFIG = """\
state_directory: {folder}/state
network: {{interfaces: [lo], rules: []}}
firewall: {{policy: {folder}/policy.yml, enforce: true}}
"""


@pytest.mark.netns
@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["run", "network"], "capture needs CAP_NET_RAW: run it under the shipped systemd unit, as root"),
        (["run", "firewall"], "needs CAP_NET_ADMIN: run as root, or grant it to the unit"),
        (["firewall", "apply"], "needs CAP_NET_ADMIN: run as root, or grant it to the unit"),
        (["firewall", "plan"], "needs CAP_NET_ADMIN: run as root, or grant it to the unit"),
    ],
)
def test_what_is_missing_and_how_to_grant_it(tmp_path, words, needed):
    (tmp_path / "sentinel.yml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "policy.yml").write_text("inbound: [{allow: tcp/22}]\n")
    # a user id keeps what it can read and write here, and has no capability
    drop = [shutil.which("setpriv"), "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    user = ["--securebits=+noroot"] if os.geteuid() == 0 else []
    argv = [*drop, *user, sys.executable, "-m", "sentinel", *words, "--config", tmp_path / "sentinel.yml"]
    environment = {
        **os.environ,
        "CACHE_DIRECTORY": "/proc/none",
    }  # a cache that cannot be written is no error
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 1
    assert needed in done.stderr
    assert "internal error" not in done.stderr
