"""python -m sentinel, and the `sentinel` command: run the CLI, turn errors into one clear line and an exit code."""

from __future__ import annotations

import os
import sys

from sentinel import DAEMON, SUPERVISOR
from sentinel.errors import SentinelError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main() -> None:
    try:
        if sys.argv[1:2] == [DAEMON]:
            _daemon(*sys.argv[2:])
        elif sys.argv[1:2] == [SUPERVISOR]:
            _supervisor(*sys.argv[2:])
        else:
            _command_line()
    except SentinelError as error:
        print(f"{error}" if error.exit_code == 2 else f"sentinel: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `sentinel ... | head`: the reader has gone, there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if os.environ.get("SENTINEL_DEBUG"):
            raise
        place = f"{error.filename}: " if error.filename else ""
        hint = " (run it as root, or as the user sentinel)" if isinstance(error, PermissionError) else ""
        print(f"sentinel: {place}{error.strerror or error}{hint}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # the last line of defence: a user gets a sentence, a developer asks for more
        if os.environ.get("SENTINEL_DEBUG"):
            raise
        kind = type(error).__name__
        print(
            f"sentinel: internal error: {kind}: {error} (SENTINEL_DEBUG=1 shows where; please report it)",
            file=sys.stderr,
        )
        sys.exit(1)


def _command_line() -> None:
    from sentinel.cli import command

    command()(prog_name="sentinel")


def _daemon(config: str, level: str, worker: str, component: str) -> None:
    from pathlib import Path

    from sentinel import daemon, logline

    logline.to_stderr(level)
    daemon.run(component, Path(config), int(worker))


def _supervisor(config: str, level: str, metrics_directory: str, *components: str) -> None:
    from pathlib import Path

    from sentinel import logline, metrics, supervise

    logline.to_stderr(level)
    metrics.use_directory(Path(metrics_directory), "supervisor")
    supervise.Supervisor(components, Path(config)).run()


if __name__ == "__main__":
    main()
