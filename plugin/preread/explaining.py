"""``preread explain``: have pictures made of what the networks looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from preread.connecting import FAILED
from preread.tables import show, table

if TYPE_CHECKING:
    from preread.connecting import Orthanc


def explain(orthanc: Orthanc, ids: Iterable[str], body: Mapping[str, Any]) -> None:
    """Ask for each image, wait as long as Orthanc does, and list what became of it.

    Parameters
    ----------
    orthanc
        Whom to ask.
    ids
        Orthanc's ids or SOPInstanceUIDs.
    body
        As ``POST /preread/instances/{id}/explain`` takes it.

    Raises
    ------
    typer.Exit
        With `FAILED`, if a picture was refused or could not be made.
    """
    from preread.archive.pacs import PacsRefusedError  # noqa: PLC0415 - not needed for help

    made = table("Model", "Class", "Percent", "State", "Instance", "Reason")
    failures = rows = 0
    with orthanc.open() as pacs:
        for one in ids:
            try:
                told = pacs.post(f"/preread/instances/{one}/explain", body)
            except PacsRefusedError as error:
                failures += 1
                typer.echo(f"{one}: {error}", err=True)
                continue
            for entry in told["Explanations"]:
                rows += 1
                failures += entry["State"] == "failed"
                percent = _percent(entry)
                place = entry["ID"] or "-"
                cells = (entry["Model"], entry["Class"], percent, entry["State"], place)
                made.add_row(*cells, entry["Reason"])
    if rows:
        show(made)
    if failures:
        raise typer.Exit(FAILED)


def _percent(entry: Mapping[str, Any]) -> str:
    """Give the share of a class, or why there is none."""
    if entry.get("Withheld"):
        return f"no class: {entry['Withheld']}"
    if entry["Probability"] is None:
        return "no class"
    return f"{100 * entry['Probability']:.2f}"
