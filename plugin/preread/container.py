"""What the container image runs: Orthanc with users from the environment, and the health check.

``python -m preread.container start`` refuses to start without users: the image answers other
machines. ``python -m preread.container health`` ends with 0 when ``/preread/status`` answers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn

import httpx
import json5

from preread.errors import PrereadError
from preread.settings import site_from_file

CONFIGURATION: Final = Path("/etc/preread/orthanc.json")
ORTHANC: Final = "/usr/sbin/Orthanc"
_HOW: Final = (
    'PREREAD_USERS must hold the users as JSON, such as {"alice": "a password"} '
    "(or PREREAD_USERS_FILE name a file with that)"
)


class ContainerError(PrereadError):
    """The container cannot start, or does not answer."""


def registered_users(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the users of Orthanc, name to password.

    Parameters
    ----------
    environment
        With ``PREREAD_USERS``, a JSON object, or ``PREREAD_USERS_FILE``, the path of a file that
        holds one (a Docker secret).

    Raises
    ------
    ContainerError
        If there is none, or not in that form. The message holds no password.
    """
    text = environment.get("PREREAD_USERS", "")
    file = environment.get("PREREAD_USERS_FILE", "")
    if not text.strip() and file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ContainerError(f"PREREAD_USERS_FILE: {file} cannot be read") from None
    if not text.strip():
        raise ContainerError(f"no users: {_HOW}")
    try:
        users = json.loads(text)
    except (ValueError, RecursionError):
        raise ContainerError(f"the users are not JSON: {_HOW}") from None
    if not isinstance(users, dict) or not users:
        raise ContainerError(f"expected one user or more: {_HOW}")
    for name, password in users.items():
        # HTTP Basic parts the two at the first colon.
        if not name or ":" in name or not isinstance(password, str) or not password:
            raise ContainerError(
                f"a user needs a name without a colon and a password that is not empty: {_HOW}"
            )
    return users


def write_configuration(source: Path, users: Mapping[str, str], target: Path) -> None:
    """Write what Orthanc is started on: the configuration with the users in it.

    One file, not a folder of two: Orthanc 1.10.1 tells a plugin the parent of a configuration
    folder in its place.

    Parameters
    ----------
    source
        The configuration of the image, or the file that was mounted in its place.
    users
        Name to password.
    target
        A file that is not there yet; only its owner will be able to read it.

    Raises
    ------
    ContainerError
        If the configuration cannot be used, or would let callers in without a password.
    """
    try:
        configuration = json5.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ContainerError(
            f"{source} is not a configuration of Orthanc that can be read"
        ) from None
    if not isinstance(configuration, dict) or "RegisteredUsers" in configuration:
        raise ContainerError(f"{source}: leave RegisteredUsers out; {_HOW}")
    if configuration.get("AuthenticationEnabled") is not True:
        raise ContainerError(f"{source}: AuthenticationEnabled must be true in a container")
    # Orthanc expands ${NAME} in the whole text; a password is taken as it is.
    secret = json.dumps(dict(users)).replace("$", "\\u0024")
    text = json.dumps(configuration, indent=1).removesuffix("\n}")
    target.touch(mode=0o600, exist_ok=False)
    target.write_text(f'{text},\n "RegisteredUsers": {secret}\n}}\n', encoding="utf-8")


def start(
    environment: Mapping[str, str],
    replace_process: Callable[[str, list[str], dict[str, str]], NoReturn] = os.execve,
    source: Path = CONFIGURATION,
) -> NoReturn:
    """Become Orthanc.

    Parameters
    ----------
    environment
        Of this process. The users are not handed on: Orthanc and the runner need none of it.
    replace_process
        ``os.execve``, or what a test puts in its place.
    source
        The configuration.

    Raises
    ------
    ContainerError
        As `registered_users` and `write_configuration`.
    """
    users = registered_users(environment)
    configuration = Path(tempfile.mkdtemp(prefix="preread-")) / "orthanc.json"
    write_configuration(source, users, configuration)
    rest = {key: value for key, value in environment.items() if key != "PREREAD_USERS"}
    replace_process(ORTHANC, [ORTHANC, str(configuration)], rest)


def check_health(environment: Mapping[str, str], source: Path = CONFIGURATION) -> None:
    """Ask ``/preread/status`` as the first of the users.

    Raises
    ------
    ContainerError
        If it does not answer with 200 within 8 seconds.
    """
    name, password = next(iter(registered_users(environment).items()))
    url = f"{site_from_file(source).url}/preread/status"
    try:
        # On loopback the certificate's name cannot match, and nobody can be in between.
        with httpx.Client(auth=(name, password), timeout=8, verify=False) as client:  # noqa: S501
            answer = client.get(url)
    except httpx.HTTPError as error:
        raise ContainerError(f"{url} does not answer ({type(error).__name__})") from None
    if answer.status_code != httpx.codes.OK:
        raise ContainerError(f"{url} answers {answer.status_code}")


def main(arguments: list[str]) -> int:
    """Run ``start`` or ``health``; return the exit code."""
    try:
        match arguments:
            case ["start"]:
                start(os.environ)
            case ["health"]:
                check_health(os.environ)
            case _:
                raise ContainerError("usage: python -m preread.container start|health")
    except PrereadError as error:
        sys.stderr.write(f"preread: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
