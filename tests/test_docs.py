"""What the README names exists, and what exists is in the README."""

import re
from pathlib import Path

import reference

from sentinel import yamlfile
from sentinel.cli import COMMANDS
from sentinel.config import Config
from sentinel.errors import SentinelError
from sentinel.protocol.derive import shop
from sentinel.protocol.derive.attach import Derivation
from sentinel.protocol.logs import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_reference_tables_are_the_codes_own():
    assert reference.with_tables(README) == README, "run: python tests/reference.py"


def test_every_command_is_there_and_no_other():
    named = set(re.findall(r"sentinel ([a-z][a-z-]+)", README)) - {"is", "was", "writes", "on", "begins"}
    assert named <= set(COMMANDS)
    assert set(COMMANDS) <= named


def test_every_playbook_is_there():
    for path in (ROOT / "playbooks").glob("*.yml"):
        assert f"`{path.stem}`" in README


def test_exit_codes():
    def codes(cls):
        return {cls.exit_code}.union(*(codes(sub) for sub in cls.__subclasses__()))

    stated = re.search(r"Exit codes: (.*?)\. ", README, re.DOTALL)[1]
    assert codes(SentinelError) | {0} == {int(code) for code in re.findall(r"\b(\d+) [a-z]", stated)}


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^(?:[\w-]+ )*{target}(?: [\w-]+)*:", makefile, re.MULTILINE), target


def test_the_logs_example_is_a_configuration():
    text = re.search(r"^## Logs\n.*?```yaml\n(.*?)```", README, re.DOTALL | re.MULTILINE)[1]
    logs = yamlfile.parse(text, Config, "README.md").logs
    assert logs.shop.preset == "magento"
    for file in logs.files:
        assert file.format == "auto" or parser.reader(file.format)
    assert Derivation.of(logs.model_copy(update={"personal_data_key_file": None}))


def test_every_preset_is_named():
    for preset in shop.PRESETS:
        assert re.search(rf"preset: .*\b{preset}\b", README)
