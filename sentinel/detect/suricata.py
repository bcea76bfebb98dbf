"""Suricata's rule language: one rule's text -> Rule, or ValueError with the reason in words.

The grammar is the rule manual's "Rules Format". As in Suricata, options end at every ';' that has no backslash before
it, even inside quotes. A keyword finds its parser in a table (keywords.KEYWORDS); a keyword that is not there refuses
the whole rule, because half a rule would alert on something else than its writer meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sentinel.detect.addresses import NESTING_LIMIT, addresses, ports
from sentinel.detect.draft import Draft, Header
from sentinel.detect.keywords import KEYWORDS
from sentinel.detect.protocols import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentinel.detect.rule import Rule

ACTIONS = ("alert", "pass", "drop", "reject", "rejectsrc", "rejectdst", "rejectboth")
_VARIABLE = re.compile(r"\$([\w-]+)")
_OPTION_END = re.compile(r"(?<!\\);")
_HEADER = re.compile(r"\s*(\S+)\s+(\S+)\s+(.*)", re.DOTALL)


class Context:
    """What a rule text may refer to: variables, classes, and addresses parsed before."""

    def __init__(
        self,
        variables: Mapping[str, str],
        classes: Mapping[str, tuple[str, int]] | None = None,
        folder: str = "",
    ) -> None:
        self.variables = variables
        self.classes = classes or {}
        self.folder = folder
        self._headers: dict[str, Header] = {}

    def header(self, text: str) -> Header:
        found = self._headers.get(text)
        if found is None:
            found = self._headers[text] = parse_header(text, self.variables)
        return found


def parse_rule(text: str, context: Context, path: str = "", line: int = 0) -> Rule:
    """`text` is latin-1 decoded, so that every byte of a content survives."""
    opening = text.find("(")
    closing = text.rfind(")")
    if opening < 0 or closing < opening:
        raise ValueError("a rule is a header and options in parentheses")
    draft = Draft(context.header(text[:opening].strip()), path, line, context.classes, context.folder)
    for name, value in split_options(text[opening + 1 : closing]):
        parser = KEYWORDS.get(name)
        if parser is None:
            raise ValueError(f"unknown keyword {name}")
        draft.keywords.append(name)
        try:
            parser(draft, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return draft.finish()


def split_options(text: str) -> list[tuple[str, str | None]]:
    pieces = _OPTION_END.split(text)
    if pieces[-1].strip():
        raise ValueError(f"no ';' after {pieces[-1].strip()[:40]!r}")
    options: list[tuple[str, str | None]] = []
    for piece in pieces[:-1]:
        name, colon, value = piece.partition(":")
        name = name.strip()
        if not name:
            raise ValueError("empty option")
        options.append((name, value.strip() if colon else None))
    return options


def parse_header(text: str, variables: Mapping[str, str]) -> Header:
    found = _HEADER.fullmatch(text)
    if not found:
        raise ValueError("header is not: action protocol source port direction destination port")
    action, protocol = found[1].lower(), found[2].lower()
    fields = header_fields(found[3])
    if len(fields) != 5:
        raise ValueError("header is not: action protocol source port direction destination port")
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol}")
    source, source_ports, arrow, destination, destination_ports = fields
    if arrow not in {"->", "<>"}:
        raise ValueError(f"direction is -> or <>, not {arrow}")
    return Header(
        action,
        protocol,
        addresses(source, variables),
        ports(source_ports, variables),
        addresses(destination, variables),
        ports(destination_ports, variables),
        arrow == "<>",
        negates(source, variables) or negates(destination, variables),
    )


def negates(text: str, variables: Mapping[str, str], depth: int = 0) -> bool:
    """Does an address group, with its variables, leave something out?"""
    if "!" in text or depth > NESTING_LIMIT:
        return "!" in text
    names = _VARIABLE.findall(text)
    return any(negates(variables.get(name, ""), variables, depth + 1) for name in names)


def header_fields(text: str) -> list[str]:
    """Fields at blanks outside brackets."""
    fields, depth, current = [], 0, ""
    for character in text:
        depth += (character == "[") - (character == "]")
        if character.isspace() and depth <= 0:
            if current:
                fields.append(current)
            current = ""
        elif not character.isspace():
            current += character
    return [*fields, current] if current else fields
