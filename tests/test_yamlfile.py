"""Every mistake in an operator's file has its line, and all come at once."""

import pytest

from sentinel import yamlfile
from sentinel.errors import InvalidInputError, Problem


class Rule(yamlfile.Settings):
    allow: str
    ports: list[int] = []


class File(yamlfile.Settings):
    name: str
    rules: list[Rule] = []


def problems(text):
    with pytest.raises(InvalidInputError) as caught:
        yamlfile.parse(text, File, "p.yml")
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file():
    loaded = yamlfile.parse("name: x\nrules:\n  - {allow: web, ports: [80]}\n", File, "p.yml")
    assert loaded == File(name="x", rules=[Rule(allow="web", ports=[80])])


def test_all_problems_at_once_with_their_lines():
    text = "nam: x\nrules:\n  - allow: web\n    ports: [80, many]\n  - {deny: ssh}\n"
    assert problems(text) == [
        "p.yml:1: missing key 'name'",
        "p.yml:1: unknown key 'nam'",
        "p.yml:4: rules.0.ports.1: Input should be a valid integer, unable to parse string as an integer",
        "p.yml:5: missing key 'rules.1.allow'",
        "p.yml:5: unknown key 'rules.1.deny'",
    ]


def test_a_key_given_twice():
    assert problems("name: a\nrules: []\nname: b\n") == ["p.yml:3: key 'name' appears twice"]


@pytest.mark.parametrize("text", ["name: [", "a: b: c", "\tname: x", "name: 'x", "- &a *b"])
def test_bad_yaml_has_a_line(text):
    (problem,) = problems(text)
    assert problem.startswith("p.yml:1: not valid YAML: ") or problem.startswith("p.yml:2: not valid YAML: ")


def test_not_a_mapping():
    assert problems("- a\n- b\n") == ["p.yml:1: Input should be a valid dictionary or instance of File"]


def test_unreadable_files(tmp_path):
    with pytest.raises(InvalidInputError, match="No such file"):
        yamlfile.load(tmp_path / "none.yml", File)
    binary = tmp_path / "b.yml"
    binary.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        yamlfile.load(binary, File)


def test_python_objects_are_not_built():
    with pytest.raises(InvalidInputError, match="not valid YAML"):
        yamlfile.load_all("!!python/object/apply:os.getcwd []\n", "p.yml")
    assert problems("name: !!python/object/apply:os.getcwd []\n")


def test_documents_of_one_file_have_their_first_line():
    assert yamlfile.load_all("a: 1\n---\nb: 2\n", "p.yml") == [({"a": 1}, 1), ({"b": 2}, 3)]


def test_problem_without_a_line():
    assert str(Problem("p.yml", 0, "empty")) == "p.yml: empty"


def test_hostile_aliases_end_soon():
    layers = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert problems("\n".join(layers))[0] == "p.yml:1: missing key 'name'"
    assert problems("name: &a [*a]\n")
