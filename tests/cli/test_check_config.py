"""sentinel check-config: the files that sentinel.yml names are looked at, and every problem has its place."""

import pytest
import yaml

from sentinel.cli.check_config import check_config
from sentinel.errors import InvalidInputError


@pytest.fixture
def problems(tmp_path):
    def run(**sections):
        path = tmp_path / "sentinel.yml"
        path.write_text(yaml.safe_dump({"state_directory": str(tmp_path), **sections}))
        try:
            check_config(path, component="", has="", as_json=False)
        except InvalidInputError as error:
            return [str(problem) for problem in error.problems]
        return []

    return run


def test_rules_thresholds_and_reputation_of_the_network_plane(problems, tmp_path):
    (tmp_path / "a.rules").write_text(
        "alert tcp any any -> any any (frobnicate; sid:1;)\nalert ip any any -> any any (iprep:src,Nope,>,1; sid:2;)\n"
    )
    (tmp_path / "threshold.config").write_text("suppress gen_id 1, sig_id 2\nhush everything\n")
    (tmp_path / "categories").write_text("1,Bad,x\n")
    network = {
        "rules": [str(tmp_path / "a.rules")],
        "threshold_file": str(tmp_path / "threshold.config"),
        "reputation": {"categories": str(tmp_path / "categories")},
    }
    first, second, third = problems(network=network)
    assert "a.rules:1: rule 1: unknown keyword frobnicate" in first
    assert "a.rules:2: rule 2: iprep: no category Nope" in second
    assert "threshold.config:2: expected suppress" in third


def test_a_file_that_is_not_there(problems, tmp_path):
    (problem,) = problems(network={"threshold_file": str(tmp_path / "nowhere")})
    assert "nowhere: No such file" in problem


def test_nothing_wrong(problems, capsys):
    assert problems(network={"rules": []}) == []
    assert "no problems; components: network" in capsys.readouterr().out
