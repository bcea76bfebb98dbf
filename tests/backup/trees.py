"""Files of every kind for the tests: a shop-like tree, random trees for hypothesis, and a comparison that sees all."""

import contextlib
import os
import random
import stat

from hypothesis import strategies as st

NAMES = st.one_of(
    st.text(min_size=1, max_size=12).map(lambda text: text.encode("utf-8", "ignore")),
    st.binary(min_size=1, max_size=12),
).filter(lambda name: name and name not in {b".", b".."} and b"/" not in name and b"\0" not in name)
TIMES = st.integers(min_value=-(2**31) * 10**9, max_value=(2**33) * 10**9)
PERMISSIONS = st.sampled_from([0o644, 0o600, 0o755, 0o444, 0o000, 0o4755, 0o2755, 0o1777, 0o777])
XATTRS = st.dictionaries(
    st.sampled_from(["user.comment", "user.größe", "user.x"]), st.binary(max_size=40), max_size=2
)
CONTENTS = st.one_of(
    st.just(b""),
    st.binary(max_size=300),
    st.builds(
        lambda seed, size: random.Random(seed).randbytes(size), st.integers(), st.integers(0, 1_600_000)
    ),
    st.integers(0, 3_000_000).map(bytes),
)
FILES = st.tuples(st.just("file"), CONTENTS, PERMISSIONS, TIMES, XATTRS)
# restic before 0.16 cannot hold a link target that is no UTF-8 (ours are tested on their own).
TARGETS = st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "ignore"))
LINKS = st.tuples(
    st.just("symlink"),
    TARGETS.filter(lambda target: target and b"\0" not in target),
    st.just(0),
    st.integers(0, 2**33 * 10**9),
    st.just({}),
)
FIFOS = st.tuples(st.just("fifo"), st.none(), PERMISSIONS, TIMES, st.just({}))


def folders(children):
    entries = st.dictionaries(NAMES, children, max_size=5)
    return st.tuples(st.just("dir"), entries, st.sampled_from([0o755, 0o700, 0o1777]), TIMES, XATTRS)


TREES = folders(st.recursive(st.one_of(FILES, FILES, LINKS, FIFOS), folders, max_leaves=12))


def build(path, tree, files=None):
    """Make the tree; every third file with content gets a hard link where its name allows one."""
    kind, content, mode, time, xattrs = tree
    if kind == "dir":
        os.makedirs(path, exist_ok=True)
        for name, child in content.items():
            build(path + b"/" + name, child)
    elif kind == "symlink":
        os.symlink(content, path)
        os.utime(path, ns=(time, time), follow_symlinks=False)
        return
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with open(path, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError, OSError):
            if len(content) % 3 == 1:
                os.link(path, path[:200] + b".hard")
    for name, value in xattrs.items():
        os.setxattr(path, name, value)
    os.chmod(path, mode)
    os.utime(path, ns=(time, time))


def describe(root):
    """Everything a backup promises to keep, by relative path."""
    found = {}
    inodes = {}
    root = os.fsencode(root)
    for folder, folders_, files in os.walk(root):
        for name in [b"", *files, *folders_]:
            path = os.path.join(folder, name) if name else folder
            info = os.lstat(path)
            entry = {
                "mode": info.st_mode,
                "owner": (info.st_uid, info.st_gid),
                "mtime": info.st_mtime_ns,
            }
            if stat.S_ISLNK(info.st_mode):
                entry["target"] = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    entry["content"] = file.read()
                if info.st_nlink > 1:
                    entry["link"] = inodes.setdefault(info.st_ino, os.path.relpath(path, root))
            elif stat.S_ISBLK(info.st_mode) or stat.S_ISCHR(info.st_mode):
                entry["device"] = info.st_rdev
            if not stat.S_ISLNK(info.st_mode):
                entry["xattrs"] = {name: os.getxattr(path, name) for name in sorted(os.listxattr(path))}
            found[os.path.relpath(path, root)] = entry
    for entry in found.values():  # a group of hard links is named after whichever is first by name
        if "link" in entry:
            entry["link"] = min(path for path, other in found.items() if other.get("link") == entry["link"])
    return found
