import gzip
import json

from sentinel.__main__ import main


def run(capsys, *argv):
    """(exit status, one object per printed line)."""
    import sys
    from unittest.mock import patch

    with patch.object(sys, "argv", ["sentinel", "parse", *map(str, argv)]):
        try:
            status = main() or 0
        except SystemExit as exit_:
            status = exit_.code or 0
    out = capsys.readouterr()
    return status, [json.loads(line) for line in out.out.splitlines()], out.err


CLF = '192.0.2.7 - - [02/Mar/2026:08:00:00 +0100] "GET /a?b=c HTTP/1.1" 200 5 "-" "-"\n'


def test_one_object_a_line_and_an_empty_one_where_nothing_was_read(tmp_path, capsys):
    log = tmp_path / "access.log"
    log.write_text(CLF + "???\n" + CLF)

    status, rows, _ = run(capsys, log, "--log-format", "nginx-access")

    assert status == 0
    assert [bool(row) for row in rows] == [True, False, True]
    assert rows[0]["@timestamp"] == "2026-03-02T07:00:00.000000+0000"
    assert rows[0]["http.response.status_code"] == 200
    assert rows[0]["url.query"] == "b=c"


def test_archives_and_detection(tmp_path, capsys):
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress(CLF.encode()))

    status, rows, _ = run(capsys, log)

    assert (status, rows[0]["source.ip"]) == (0, "192.0.2.7")


def test_an_unknown_format_is_64(tmp_path, capsys):
    log = tmp_path / "a.log"
    log.write_text("x\n")

    status, rows, err = run(capsys, log, "--log-format", "nosuch")

    assert (status, rows) == (64, [])
    assert "nosuch" in err


def test_a_missing_file_is_told_without_a_traceback(tmp_path, capsys):
    status, _, err = run(capsys, tmp_path / "none")

    assert status == 1
    assert "Traceback" not in err
