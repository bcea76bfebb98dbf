import io
import tarfile
import zipfile

import pytest

from sentinel.detect.load import load
from sentinel.detect.update import install
from sentinel.errors import InvalidInputError

RULE = 'alert tcp any any -> any any (content:"x"; sid:%d;)\n'


def loader(folder):
    return load([folder], {})


def archive(path, files):
    with tarfile.open(path, "w:gz") as out:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            out.addfile(info, io.BytesIO(text.encode()))
    return path


def test_archive_replaces_and_reports(tmp_path):
    target = tmp_path / "rules"
    install(
        archive(tmp_path / "1.tar.gz", {"a/x.rules": RULE % 1 + RULE % 2, "a/run.sh": "no"}), target, loader
    )
    report = install(archive(tmp_path / "2.tar.gz", {"a/x.rules": RULE % 2 + RULE % 3}), target, loader)
    assert (report.loaded, report.added, report.removed) == (2, 1, 1)
    assert [path.name for path in target.rglob("*") if path.is_file()] == ["x.rules"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_names_never_leave_the_folder(tmp_path):
    bad = {"../evil.rules": RULE % 1, "/etc/evil.rules": RULE % 2, "ok.rules": RULE % 3}
    assert install(archive(tmp_path / "x.tgz", bad), tmp_path / "rules", loader).loaded == 1
    assert not (tmp_path / "evil.rules").exists()


@pytest.mark.parametrize("text", ["", "alert nonsense\n", RULE % 1 + "broken (\n" * 3])
def test_a_broken_download_does_not_disarm(tmp_path, text):
    target = tmp_path / "rules"
    install(archive(tmp_path / "good.tgz", {"x.rules": RULE % 1}), target, loader)
    with pytest.raises(InvalidInputError):
        install(archive(tmp_path / "bad.tgz", {"x.rules": text}), target, loader)
    assert (target / "x.rules").read_text() == RULE % 1


def test_zip_and_missing(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as out:
        out.writestr("x.rules", RULE % 1)
    assert install(tmp_path / "x.zip", tmp_path / "rules", loader).loaded == 1
    with pytest.raises(InvalidInputError):
        install(tmp_path / "absent", tmp_path / "rules", loader)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(InvalidInputError):
        install(tmp_path / "junk", tmp_path / "rules", loader)
