"""Two or three rounds of tests/soak/kill_backup.py on both kinds of store; `make soak` runs two hundred."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "soak" / "kill_backup.py"


def load():
    spec = importlib.util.spec_from_file_location("kill_backup", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_killed_on_a_directory(tmp_path):
    load().Soak(tmp_path, f"{tmp_path}/repository", "{}", {}, seed=3).run(3)


@pytest.mark.service
def test_killed_on_s3(tmp_path, s3_place, s3_environment):
    address, options = s3_place(retries=3)
    keys = json.dumps({"access_key": options.access_key, "secret_key": options.secret_key})
    load().Soak(tmp_path, address, keys, s3_environment, seed=5).run(2)
