"""``preread iodeep push``, ``list``, ``propose``: an archive's networks, and having them look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preread.connecting import FAILED, Configuration, Orthanc, Password, Url, Username
from preread.errors import PrereadError, SettingsError
from preread.iodeep.command_files import Models, models_folder
from preread.tables import show, table

if TYPE_CHECKING:
    from collections.abc import Callable


def push(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="IODeep instances.")],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    dicomweb: Annotated[
        str, typer.Option(help="The path of DICOMweb below Orthanc's address.", metavar="PATH")
    ] = "/dicom-web",
    peer: Annotated[
        str,
        typer.Option(help="Send by C-STORE to this peer, not by STOW-RS.", metavar="AET@HOST:PORT"),
    ] = "",
    aet: Annotated[str, typer.Option(help="The AE title to send from by C-STORE.")] = "PREREAD",
    models: Models = None,
) -> None:
    """Store networks in Orthanc; `preread iodeep list` shows what becomes of them.

    What torch.save wrote in them is written anew first, since a node has no torch to read it.
    """
    from preread.iodeep.converting import as_sent  # noqa: PLC0415 - not needed for help
    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.reading import LARGEST_FILE  # noqa: PLC0415

    place = models_folder(models, config)
    send = _by_c_store(peer, aet) if peer else _by_stow(config, url, username, password, dicomweb)
    failures = 0
    for file in files:
        try:
            data = _bytes(file, LARGEST_FILE)
            ready = as_sent(data, WeightsFolder(place))
            typer.echo(f"{file}: {send(ready.data)}, DnnUID {ready.DnnUID}")
            if ready.note:
                typer.echo(f"{file}: {ready.note}", err=True)
        except PrereadError as error:
            failures += 1
            typer.echo(f"{file}: {str(error).removeprefix(f'{file}: ')}", err=True)
    if failures:
        raise typer.Exit(FAILED)


def list_networks(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    instance: Annotated[
        str, typer.Option(help="Choose for this image: Orthanc's id or SOPInstanceUID.")
    ] = "",
    modality: Annotated[str, typer.Option(help="Choose for such an image, such as CT.")] = "",
    samples_per_pixel: Annotated[int, typer.Option(help="Of that image: 1 or 3.")] = 1,
    body_part: Annotated[str, typer.Option(help="BodyPartExamined of that image.")] = "",
    study_description: Annotated[
        str, typer.Option(help="StudyDescription of that image; counts where no part is known.")
    ] = "",
) -> None:
    """List the networks that Orthanc has, or for an image which one is chosen and why."""
    query = {"instance": instance} if instance else {}
    if modality:
        query |= {"Modality": modality, "SamplesPerPixel": str(samples_per_pixel)}
    for option, keyword, value in (
        ("--body-part", "BodyPartExamined", body_part),
        ("--study-description", "StudyDescription", study_description),
    ):
        if value and not modality:
            raise SettingsError(f"{option}: expected --modality with it")
        query |= {keyword: value} if value else {}
    with Orthanc.of(config, url, username, password).open() as pacs:
        told = pacs.json("/preread/iodeep", query or None)
    if not query:
        _show_all(told)
        return
    made = table("DnnUID", "Name", "Fits", "Failed on", "Reason")
    for each in told["Candidates"]:
        fits = "chosen" if each["DnnUID"] == told["DnnUID"] else "yes" if each["Fits"] else "no"
        cells = (each["DnnUID"], each["DnnName"], fits, each["FailedOn"] or "-", each["Reason"])
        made.add_row(*cells)
    show(made)
    if told["Warning"]:
        typer.echo(told["Warning"], err=True)
        raise typer.Exit(FAILED)


def propose(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Of series: Orthanc's ids or UIDs.")
    ],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    instance: Annotated[
        bool, typer.Option("--instance", help="The ids are of single images, not of series.")
    ] = False,
    network: Annotated[
        str, typer.Option(help="DnnUID. Default: the network that the image is for.")
    ] = "",
) -> None:
    """Have networks look for regions now; what they find is proposed for review."""
    from preread.archive.pacs import PacsRefusedError  # noqa: PLC0415 - not needed for help

    body = {"DnnUID": network} if network else {}
    level = "instances" if instance else "series"
    made = table("ID", "State", "DnnUID", "Regions", "Left out", "Proposal")
    failures = rows = 0
    with Orthanc.of(config, url, username, password).open() as pacs:
        for one in ids:
            try:
                told = pacs.post(f"/preread/{level}/{one}/propose", body)
            except PacsRefusedError as error:
                failures += 1
                typer.echo(f"{one}: {error}", err=True)
                continue
            rows += 1
            cells = (told["State"], told["DnnUID"] or "-", str(told["Regions"]))
            left_out = str(len(told.get("Skipped") or ()))
            made.add_row(one, *cells, left_out, told["Proposal"] or "-")
    if rows:
        show(made)
    if failures:
        raise typer.Exit(FAILED)


def _show_all(told: list[dict[str, Any]]) -> None:
    made = table("State", "Name", "Modality", "Body part", "DnnUID", "Where", "Reason")
    for each in told:
        described = (each.get(key, "-") for key in ("DnnName", "Modality", "BodyPartExamined"))
        where = each["File"] or each["ID"] or "-"
        reason = each["Reason"] or each["Trusted"] or "-"
        made.add_row(each["State"], *described, each.get("DnnUID", "-"), where, reason)
    show(made)


def _by_stow(
    config: Path | None, url: str, username: str, password: str, path: str
) -> Callable[[bytes], str]:
    from preread.iodeep.sending import stow  # noqa: PLC0415 - not needed for help

    orthanc = Orthanc.of(config, url, username, password)
    service = f"{orthanc.url.rstrip('/')}/{path.strip('/')}"

    def send(data: bytes) -> str:
        stow(
            data,
            service,
            username=orthanc.username,
            password=orthanc.password,
            verify=orthanc.verify,
        )
        return "sent"

    return send


def _by_c_store(peer: str, title: str) -> Callable[[bytes], str]:
    from preread.iodeep.sending import Peer, store  # noqa: PLC0415 - not needed for help

    found = Peer.parse(peer)

    def send(data: bytes) -> str:
        if store(data, found, title):
            return "sent"
        return "sent, but not as a network: the peer does not trust this AE title"

    return send


def _bytes(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as error:
        raise PrereadError(f"{file}: cannot be read ({error.strerror})") from None
    if len(data) > most:
        raise PrereadError(f"{file}: larger than {most} bytes")
    return data
