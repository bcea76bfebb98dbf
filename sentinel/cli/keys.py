"""sentinel backup key: the passwords that open a repository."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sentinel.cli.options import AS_JSON, grouped
from sentinel.cli.repositories import Place

if TYPE_CHECKING:
    from sentinel.backup.repo.repository import Repository

app = typer.Typer(help="List, add, remove and change the passwords of a repository.", no_args_is_help=True)
NEW = typer.Option(
    ..., "--new-password-file", metavar="FILE", help="The new password; never on the command line."
)


@app.command("list")
@grouped
def list_(
    *,
    place: Place,
    as_json: bool = AS_JSON,
) -> None:
    """The keys of a repository; the current one is the one that opened it."""
    from sentinel.backup.repo.keys import list_keys
    from sentinel.cli.listing import print_json, print_table

    with place.open() as opened_repository:
        found = list_keys(opened_repository)
    if as_json:
        print_json([asdict(key) for key in found])
        return
    rows = [
        (("*" if key.current else " ") + key.id[:8], key.username, key.hostname, key.created) for key in found
    ]
    print_table((" id", "user", "host", "created"), rows)


@app.command()
@grouped
def add(
    new_password_file: Path = NEW,
    *,
    place: Place,
) -> None:
    """Let a further password open the repository."""
    from sentinel.backup.repo.keys import add_key

    with place.open() as opened_repository:
        made = add_key(opened_repository, _password(new_password_file))
        place.record("backup.key.add", opened_repository, key=made[:8])
    typer.echo(f"added key {made[:8]}")


@app.command()
@grouped
def remove(
    key: str = typer.Argument("", metavar="ID", help="As `key list` shows it; or say --opened-by."),
    opened_by: Path | None = typer.Option(
        None,
        "--opened-by",
        metavar="FILE",
        help="The key of this password instead; nothing to do when it has none.",
    ),
    *,
    place: Place,
) -> None:
    """Take a password's key away; the one in use and the last one stay."""
    from sentinel.backup.repo.keys import remove_key
    from sentinel.errors import UsageError

    if bool(key) == bool(opened_by):
        raise UsageError("name either a key or the password file whose key it is (--opened-by)")
    with place.open() as opened_repository:
        if opened_by:
            key = _key_of(opened_repository, opened_by)
        if key:
            remove_key(opened_repository, key)
            place.record("backup.key.remove", opened_repository, key=key[:8])
    typer.echo(f"removed key {key[:8]}" if key else "no key opens with that password")


@app.command()
@grouped
def passwd(
    new_password_file: Path = NEW,
    *,
    place: Place,
) -> None:
    """Replace the password in use by a new one."""
    from sentinel.backup.repo.keys import change_password

    with place.open() as opened_repository:
        change_password(opened_repository, _password(new_password_file))
        place.record("backup.key.passwd", opened_repository)
    typer.echo("password changed")


def _key_of(repository: Repository, password_file: Path) -> str:
    from sentinel.backup.repo.repository import Repository
    from sentinel.errors import WrongPasswordError

    try:
        with Repository.open(repository.store, _password(password_file)) as other:
            return other.key_id
    except WrongPasswordError:
        return ""


def _password(path: Path) -> str:
    from sentinel.backup.settings import Secret
    from sentinel.errors import UsageError

    text = Secret(password_file=path).password()
    if not text:
        raise UsageError(f"{path}: an empty password is none")
    return text
