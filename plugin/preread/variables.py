"""Variables of the environment in a configuration, as Orthanc expands them.

Orthanc puts nothing in the place of a variable that is not set. A password or a path would then be
another one than was meant, so Preread stops the start instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import json5

from preread.errors import SettingsError

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def expanded(value: Any, environment: Mapping[str, str], where: str = "") -> Any:
    """Expand ``${NAME}`` and ``${NAME:-default}`` in all strings.

    Parameters
    ----------
    value
        A configuration or a part of it.
    environment
        The variables.
    where
        The key that it stands under, with dots.

    Raises
    ------
    SettingsError
        If a variable without a default is not set; the message names key and variable.
    """
    if isinstance(value, str):

        def replacement(found: re.Match[str]) -> str:
            given = environment.get(found[1], found[2])
            if given is None:
                raise SettingsError(
                    f"{where}: the variable {found[1]} is not set in the environment; set it, or "
                    f"write ${{{found[1]}:-}} if nothing shall stand there"
                )
            return given

        return _VARIABLE.sub(replacement, value)
    if isinstance(value, dict):
        return {
            key: expanded(item, environment, f"{where}.{key}" if where else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [expanded(item, environment, f"{where}[{n}]") for n, item in enumerate(value)]
    return value


def check_files(
    configuration: Path, keys: frozenset[str], environment: Mapping[str, str]
) -> list[str]:
    """Look for variables that are not set in files that Orthanc has read and expanded already.

    Parameters
    ----------
    configuration
        Orthanc's configuration, a file or a folder of them.
    keys
        The keys at the top of it that are looked at.
    environment
        The variables.

    Returns
    -------
    list of str
        Names of files that could not be looked at, though something in them seems not to be set.

    Raises
    ------
    SettingsError
        If one is not set.
    """
    unread: list[str] = []
    for file, text in _texts(configuration):
        names = {found[1] for found in _VARIABLE.finditer(text) if found[2] is None}
        if names <= environment.keys():
            continue  # the usual case; parsing takes long
        try:
            content = json5.loads(text)
        except ValueError:
            unread.append(file.name)
            continue
        if isinstance(content, dict):
            expanded({key: content[key] for key in keys & content.keys()}, environment)
    return unread


def _texts(configuration: Path) -> Iterator[tuple[Path, str]]:
    is_folder = configuration.is_dir()
    for file in sorted(configuration.glob("*.json")) if is_folder else [configuration]:
        try:
            yield file, file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue  # Orthanc has read it; whoever may not has nothing to check


def named_by(arguments: list[str], told: Path) -> Path:
    """Return the configuration that Orthanc was started on.

    Parameters
    ----------
    arguments
        Orthanc's command line.
    told
        What Orthanc tells its plugins; of a folder 1.10.1 tells the parent.
    """
    named = [Path(each) for each in arguments[1:] if each and not each.startswith("-")]
    return next((path for path in reversed(named) if path.exists()), told)
