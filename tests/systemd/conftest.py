"""A host of our own for the units: systemd as process 1 of fresh namespaces, over a copy-on-write view of this host.

Nothing of this host is changed: what the machine writes goes to a tmpfs that ends with it. Needs root, OverlayFS and a
cgroup2 hierarchy (a container with its own, or any Debian). Where one of them is missing the tests that ask for the
machine are skipped *with that reason*; where all are there, a machine that does not boot is a failure.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/sentinel"  # where README.md says to install
LIBRARIES = "/opt/libraries"  # what it depends on
PYTHON = "/usr/bin/python3"  # not the tests' own: it may be in a home, which the units cannot see
SYSTEMD = "/lib/systemd/systemd"

# They set what all namespaces share (sysctl, modules, binary formats), or wait for hardware.
MASKED = """
systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
proc-sys-fs-binfmt_misc.mount kmod-static-nodes.service modprobe@.service systemd-remount-fs.service systemd-udevd.service
systemd-udev-trigger.service systemd-random-seed.service systemd-logind.service systemd-timesyncd.service
sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount dev-hugepages.mount
"""

# In the holder's mount namespace: the root file system of the machine, kept over its reboots. $1 folder, $2 libraries, $3 masked units.
LAY = r"""
set -eu
mount -t tmpfs -o mode=755 machine "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
rm -rf etc/systemd/system/*.wants etc/systemd/system/sentinel* etc/sentinel var/lib/sentinel var/cache/sentinel
echo trial > etc/hostname
printf '[Unit]\nRequires=basic.target multi-user.target\nAfter=multi-user.target\n' > etc/systemd/system/trial.target
for unit in $3; do ln -sf /dev/null "etc/systemd/system/$unit"; done
printf '[Journal]\nStorage=persistent\nRateLimitBurst=0\n' > etc/systemd/journald.conf
mkdir -p opt/libraries
mount --bind "$2" opt/libraries
echo laid
exec cat
"""
# In the machine's own namespaces, as their process 1. $1 root.
BOOT = r"""
set -eu
cd "$1"
mount -t proc proc proc
mount --bind proc/sys/net run
mount --bind -o ro proc/sys proc/sys
mount --move run proc/sys/net
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null zero full random urandom tty; do
    touch dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir -p run/old
pivot_root . run/old
umount -l run/old
exec env -i container=sentinel PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=trial.target --show-status=no --log-target=journal
"""


def missing():
    """Why no machine can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "needs root to mount and to own a control group"
    if not Path(SYSTEMD).exists():
        return "systemd is not installed"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "the kernel has no OverlayFS"
    version = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=False).stdout
    if "Python {}.{}.".format(*sys.version_info) not in version:
        return f"{PYTHON} is {version.strip() or 'missing'}: the libraries of the tests would not load in it"
    return "" if cgroup2() else "no writable cgroup2 hierarchy"


def cgroup2():
    """The folder of our own control group in the unified hierarchy."""
    mounts = re.findall(
        r"^\S+ \S+ \S+ (\S+) (\S+) [^-]*- cgroup2 ", Path("/proc/self/mountinfo").read_text(), re.MULTILINE
    )
    ours = re.search(r"^0::(\S*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    for root, place in mounts:
        folder = Path(place) / (ours[1] if ours else "/").removeprefix(root).lstrip("/")
        if os.access(folder, os.W_OK) and os.statvfs(folder).f_flag & os.ST_RDONLY == 0:
            return folder
    return None


class Machine:
    def __init__(self, folder):
        self.root = folder / "root"
        self.group = cgroup2() / f"sentinel-trial-{os.getpid()}"
        self.group.mkdir()
        libraries = sysconfig.get_paths()["purelib"]
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", LAY, "lay", folder, libraries, MASKED],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.holder.stdout.readline() == "laid\n"
        self.files = Path(f"/proc/{self.holder.pid}/root{self.root}")  # the machine's files, seen from here
        self.init = None
        self.boots = 0

    def boot(self):
        command = ["nsenter", "--mount", f"--target={self.holder.pid}", "unshare", "--mount", "--pid", "--net", "--uts",
                   "--ipc", "--cgroup", "--fork", "--kill-child", "bash", "-c", BOOT, "boot", self.root]  # fmt: skip
        self.boots += 1
        self.outer = subprocess.Popen(
            ["bash", "-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', self.group, *command],
            stdin=subprocess.DEVNULL,
        )
        self.init = self._until("systemd is process 1", self._find_init, 20)
        self._until("booted", lambda: self.ask("systemctl", "is-active", "trial.target") == "active", 60)

    def _find_init(self):
        """The child of `unshare` (which is `nsenter`, replaced) once it has become systemd."""
        assert self.outer.poll() is None, f"ended with {self.outer.returncode}"
        for pid in Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return pid
        return None

    def _until(self, what, look, seconds):
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            if time.monotonic() > deadline:
                pytest.fail(f"not in {seconds} s: {what}\n{self.journal() if self.init else ''}")
            time.sleep(0.05)
        return seen

    def until(self, what, look, seconds=30):
        return self._until(what, look, seconds)

    def run(self, *argv, check=0, stdin=None):
        """A command in the machine, as its root would type it."""
        done = subprocess.run(
            ["nsenter", f"--target={self.init}", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup",
             "env", "--chdir=/", "-i", "HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
             *map(str, argv)],
            capture_output=True, text=True, check=False, input=stdin, timeout=240,
        )  # fmt: skip
        if check is not None:
            assert done.returncode == check, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ask(self, *argv):
        return self.run(*argv, check=None).stdout.strip()

    def sentinel(self, *arguments, check=0):
        return self.run("/usr/local/bin/sentinel", *arguments, check=check)

    def show(self, unit, prop):
        return self.ask("systemctl", "show", "--value", f"--property={prop}", unit)

    def journal(self, *arguments):
        return self.ask("journalctl", "--no-pager", "-o", "cat", "-n", "60", *arguments)

    def spawn(self, *argv):
        return subprocess.Popen(
            [
                "nsenter",
                f"--target={self.init}",
                "--mount",
                "--pid",
                "--net",
                "--uts",
                "--ipc",
                "--cgroup",
                *argv,
            ],
            stdout=subprocess.DEVNULL,
        )

    def power_off(self):
        """As a power cut: process 1 is killed, and with it everything in its PID namespace."""
        self.outer.kill()
        self.outer.wait()
        deadline = time.monotonic() + 20
        while "populated 1" in (self.group / "cgroup.events").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.init = None

    def close(self):
        if self.init:
            self.power_off()
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        for folder, _, _ in os.walk(self.group, topdown=False):
            Path(folder).rmdir()

    def install(self, wheel):
        """As README.md says; the libraries are the ones the tests run with, so that nothing is downloaded."""
        self.run(PYTHON, "-m", "venv", "--without-pip", PREFIX)
        site = self.files / sysconfig.get_path("purelib", vars={"base": PREFIX}).lstrip("/")
        (site / "libraries.pth").write_text(f"import site; site.addsitedir('{LIBRARIES}')\n")
        shutil.copy(wheel, self.files / "opt" / wheel.name)
        self.run(f"{PREFIX}/bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed",
                 "--no-warn-script-location", "--root-user-action=ignore", f"/opt/{wheel.name}")  # fmt: skip


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT],
        check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def machine(tmp_path_factory, wheel):
    reason = missing()
    if reason:
        pytest.skip(f"no systemd of our own can be booted here: {reason}")
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        machine.boot()
        machine.install(wheel)
        yield machine
    finally:
        machine.close()
