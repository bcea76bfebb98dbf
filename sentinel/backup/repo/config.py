"""The repository's `config` file: format version, random id, chunker polynomial. Sealed, never compressed."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass

from sentinel.backup.repo.polynomial import random_polynomial
from sentinel.errors import RepositoryError

NEWEST_VERSION = 2
READABLE_VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True)
class Config:
    version: int
    id: str
    chunker_polynomial: str

    @classmethod
    def random(cls, version: int = NEWEST_VERSION) -> Config:
        return cls(version, secrets.token_hex(32), random_polynomial())

    def encode(self) -> bytes:
        document = {"version": self.version, "id": self.id, "chunker_polynomial": self.chunker_polynomial}
        return json.dumps(document, separators=(",", ":")).encode()


def decode(document: bytes) -> Config:
    try:
        content = json.loads(document)
        config = Config(content["version"], content["id"], content["chunker_polynomial"])
        if not re.fullmatch(r"[0-9a-f]{1,16}", config.chunker_polynomial):
            raise RepositoryError("config is invalid: chunker_polynomial is no polynomial")
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError(f"config is invalid: {error}") from error
    if config.version not in READABLE_VERSIONS:
        raise RepositoryError(f"repository format version {config.version} is not supported")
    return config
