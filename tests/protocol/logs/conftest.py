import numpy as np
import pytest

from sentinel.model import Batch
from sentinel.protocol.logs.parser import LogParser, names


def batch_of(data, first=1):
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
    if data and (not len(ends) or ends[-1] != len(data)):
        ends = np.append(ends, len(data))
    return Batch(data, np.concatenate([[0], ends]).astype(np.int64), "test.log", first=first)


def rows_of(data, log_format, **options):
    """One mapping per line, without what is absent; None where the format does not fit."""
    columns = LogParser(log_format, **options).parse(batch_of(data))
    fields = {name: columns.column(name).values() for name in names(columns) if columns.column(name)}
    return [
        {name: values[i] for name, values in fields.items() if values[i] is not None}
        if columns.parsed[i]
        else None
        for i in range(columns.rows)
    ]


@pytest.fixture(scope="session")
def read():
    return rows_of


@pytest.fixture(scope="session")
def batch():
    return batch_of
