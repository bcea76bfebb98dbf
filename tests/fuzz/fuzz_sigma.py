"""Any Sigma rules, as pySigma parses them, against a naive evaluation on random events made of the rules' own words.

    python tests/fuzz/fuzz_sigma.py [--events N] [--seed N] PATH...

Prints how many rules loaded, how many events were tried and matched, and every disagreement; exits 1 on one. Events
hold each rule's values whole, cut, with other letters around them, in other case, and values of other rules.
"""

import argparse
import random
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
from sigma.collection import SigmaCollection
from sigma.conditions import ConditionFieldEqualsValueExpression, ConditionItem
from sigma.types import SigmaExpansion, SigmaNumber, SigmaString, SpecialChars

sys.path.insert(0, str(Path(__file__).parents[1] / "detect" / "sigma"))

from test_evaluate import naive

from sentinel.detect.sigma.engine import LogEngine
from sentinel.detect.sigma.read import files, read
from sentinel.detect.sigma.tree import LogSource
from sentinel.detect.sigma.values import View
from sentinel.model import Column, Columns


def leaves(item):
    if isinstance(item, ConditionItem):
        for child in item.args:
            yield from leaves(child)
    elif item is not None:
        yield item


def words(value, draw):
    """A text that the value may match: wildcards filled, or one of an expansion."""
    if isinstance(value, SigmaExpansion):
        return words(draw.choice(value.values), draw)
    if isinstance(value, SigmaString):
        fill = {
            SpecialChars.WILDCARD_MULTI: draw.choice(["", "x", "a/b "]),
            SpecialChars.WILDCARD_SINGLE: "?",
        }
        return "".join(fill.get(part, part) if not isinstance(part, str) else part for part in value.s)
    return str(value.number) if isinstance(value, SigmaNumber) else draw.choice(["", "200", "10.1.2.3", "a"])


def changed(text, draw):
    """The text, or nearly it."""
    way = draw.randrange(7)
    if way == 0 and text:
        cut = draw.randrange(len(text))
        return text[:cut] + text[cut + 1 :]
    if way == 1:
        return draw.choice(["a", "/", " "]) + text
    if way == 2:
        return text + draw.choice(["a", "/", "?x=1"])
    return text.upper() if way == 3 else text


def events_of(tree, others, draw, number):
    """Events in which most leaves of the condition are near to holding."""
    by_field = defaultdict(list)
    for leaf in leaves(tree):
        name = leaf.field if isinstance(leaf, ConditionFieldEqualsValueExpression) else ""
        by_field[name].append(leaf.value)
    for _ in range(number):
        event = {}
        for name, values in by_field.items():
            picked = draw.sample(values, min(len(values), draw.choice([1, 1, 2, len(values)])))
            text = draw.choice(["", " ", "&"]).join(changed(words(value, draw), draw) for value in picked)
            if draw.random() < 0.1:
                text = draw.choice(others)
            if name and draw.random() < 0.07:
                continue
            event[name or "event.original"] = text.replace("\n", " ")
        event.setdefault("event.original", " ".join(map(str, event.values())))
        yield event


def columns_of(events, kind):
    names = sorted({name for event in events for name in event})
    made = {
        name: Column.of([None if event.get(name) is None else event[name].encode() for event in events])
        for name in names
    }
    times = np.arange(len(events), dtype=np.int64)
    return Columns(len(events), "random", times, times + 1, made, kind)


def compare(rule, parsed, events):
    """Numbers of events where the columnar evaluation and the naive one differ, and how many match."""
    rule.silent = False
    rule.logsource = LogSource(
        "webserver"
    )  # so that one format serves every rule: the whole way, screen included
    engine = LogEngine([rule])
    found = {
        row for _, rows in engine.matches(View(columns_of(events, "nginx-access"))) for row in rows.tolist()
    }
    trees = [condition.parsed for condition in parsed.detection.parsed_condition]
    wanted = {n for n, event in enumerate(events) if any(naive(tree, event) for tree in trees)}
    return found ^ wanted, len(wanted)


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("paths", nargs="+", type=Path)
    options.add_argument("--events", type=int, default=150, help="for each rule")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    draw = random.Random(chosen.seed)
    loaded = read(chosen.paths)
    parsed = {}
    for path in files(chosen.paths):
        documents = [
            each
            for each in yaml.safe_load_all(path.read_text())
            if isinstance(each, dict) and "detection" in each
        ]
        for rule in SigmaCollection.from_dicts(documents, True).rules:
            parsed[str(rule.id)] = rule
    others = [words(leaf.value, draw) for rule in parsed.values()
              for leaf in leaves(rule.detection.parsed_condition[0].parsed)]  # fmt: skip
    differ = matches = 0
    for rule in loaded.rules:
        tree = parsed[rule.id].detection.parsed_condition[0].parsed
        events = list(events_of(tree, others, draw, chosen.events))
        wrong, matched = compare(rule, parsed[rule.id], events)
        matches += matched
        differ += len(wrong)
        for number in sorted(wrong)[:3]:
            print(f"{rule.path}: {rule.title}: {events[number]}")
    for problem in loaded.problems:
        print(f"{problem.path}:{problem.line}: {problem.message}")
    count = len(loaded.rules)
    print(
        f"{count} rules, {len(loaded.problems)} problems, {count * chosen.events} events, {matches} match, {differ} differ"
    )
    sys.exit(1 if differ or loaded.problems else 0)


if __name__ == "__main__":
    main()
