"""The one way to run a program: an argv list, never a shell; a time limit; stderr kept in the error.

Secrets go through `env` or `stdin`, never through argv (any local user can read /proc/PID/cmdline).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sentinel.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Child = subprocess.Popen[bytes]
STDERR_KEPT_BYTES = 8_192  # enough for the last page of any tool's complaint


@dataclass(frozen=True, slots=True)
class Result:
    returncode: int
    stdout: bytes
    stderr: str


def find(program: str) -> str | None:
    """Absolute path of a program, also from the sbin folders an unprivileged PATH lacks."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(program, path=path)


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 60.0,
    check: bool = True,
    cwd: str | None = None,
) -> Result:
    """Run to the end. `env` is added to ours. Raises ProgramError (missing, timed out, non-zero with `check`)."""
    try:
        done = subprocess.run(
            _resolve(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env={**os.environ, **(env or {})},
            timeout=timeout_seconds,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{argv[0]}: no result after {timeout_seconds:g} s") from None
    stderr = _tail(done.stderr)
    if check and done.returncode != 0:
        raise _failure(argv, done.returncode, stderr)
    return Result(done.returncode, done.stdout, stderr)


@contextlib.contextmanager
def stream(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    cwd: str | None = None,
) -> Iterator[IO[bytes]]:
    """Yield the program's stdout; on leaving, a non-zero exit raises ProgramError with its stderr.

    Leaving early (an exception in the body) ends the program.
    """
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            _resolve(argv),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        assert child.stdout is not None
        try:
            yield child.stdout
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            child.stdout.close()
        _finish(argv, child, errors)


@contextlib.contextmanager
def feed(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> Iterator[IO[bytes]]:
    """Yield the program's stdin; on leaving it is closed and a non-zero exit raises ProgramError."""
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            _resolve(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        assert child.stdin is not None
        try:
            yield child.stdin
        except BrokenPipeError:
            pass  # the program ended first; its exit status and stderr say why
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        _finish(argv, child, errors)


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    new_session: bool = False,
    pass_fds: Sequence[int] = (),
    preexec: Callable[[], None] | None = None,
    cwd: str | None = None,
) -> Child:
    """Start a long-running program (a server, a component). `output` takes stdout and stderr."""
    return subprocess.Popen(
        _resolve(argv),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env={**os.environ, **(env or {})},
        start_new_session=new_session,
        pass_fds=tuple(pass_fds),
        preexec_fn=preexec,  # noqa: PLW1509 - callers are single-threaded at that point
        cwd=cwd,
    )


def stop(child: Child, *, grace_seconds: float = 5.0) -> int:
    """SIGTERM, wait, SIGKILL; the exit status."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    return int(child.returncode)


def exists(pid: int) -> bool:
    """Of any user; only of this host, and of this PID namespace."""
    if pid <= 0:
        return False  # to kill(2), whole groups of processes
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _resolve(argv: Sequence[str]) -> list[str]:
    program = argv[0] if os.sep in argv[0] else find(argv[0])
    if program is None or not Path(program).exists():
        raise ProgramError(f"{argv[0]}: not installed (looked in PATH and the sbin folders)")
    return [program, *argv[1:]]


def _finish(argv: Sequence[str], child: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    returncode = child.wait()
    if returncode != 0:
        errors.seek(0)
        raise _failure(argv, returncode, _tail(errors.read()))


def _tail(output: bytes) -> str:
    return output[-STDERR_KEPT_BYTES:].decode("utf-8", "replace").strip()


def _failure(argv: Sequence[str], returncode: int, stderr: str) -> ProgramError:
    how = f"exit status {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"
    last = stderr.splitlines()[-1] if stderr else "no message"
    return ProgramError(f"{argv[0]}: {how}: {last}", returncode=returncode, stderr=stderr)
