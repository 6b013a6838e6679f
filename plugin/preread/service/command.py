"""``preread serve-iodeep``. What the command needs is imported when it runs."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preread.connecting import Configuration, Password, Username
from preread.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from preread.iodeep.iod import IODeep
    from preread.settings import Site


class Role(StrEnum):
    """What a service does."""

    BOTH = "both"
    DISCOVERY = "discovery"
    PREDICTION = "prediction"


def serve(
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Offer the IODeep instances (*.dcm) of this folder.", exists=True, file_okay=False
        ),
    ] = None,
    orthanc: Annotated[
        str,
        typer.Option(
            help="Offer those that the Orthanc at this address holds for valid.", metavar="URL"
        ),
    ] = "",
    username: Username = "",
    password: Password = "",
    models: Annotated[
        Path | None,
        typer.Option(
            help="The models folder, where an object may say that its weights lie. Default: that "
            "of the configuration, or ./models.",
            file_okay=False,
        ),
    ] = None,
    config: Configuration = None,
    role: Annotated[
        Role, typer.Option(help="What this service does: both, or one beside another service.")
    ] = Role.BOTH,
    prediction_url: Annotated[
        str,
        typer.Option(
            help="Where discovery says that predictions are asked, if not of this service.",
            metavar="URL",
        ),
    ] = "",
    host: Annotated[
        str,
        typer.Option(help="The address to answer at. The service asks nobody who they are."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8055,
    max_upload_megabytes: Annotated[
        int, typer.Option(min=1, max=65536, help="Of one request.")
    ] = 512,
    max_upload_seconds: Annotated[
        float, typer.Option(min=1, max=86400, help="Of one request, until all of it has come.")
    ] = 600,
) -> None:
    """Offer networks that are DICOM objects: which one is for an image, and what it finds there."""
    if (folder is None) == (not orthanc):
        raise SettingsError("expected --folder or --orthanc, and not both")
    for name, url in (("--orthanc", orthanc), ("--prediction-url", prediction_url)):
        if url and not url.startswith(("http://", "https://")):
            raise SettingsError(f"{name}: expected an address that begins with http:// or https://")
    try:
        import uvicorn  # noqa: PLC0415 - an optional extra

        from preread.service.application import Offer, application  # noqa: PLC0415
        from preread.service.connections import ConnectionLimits, bounded  # noqa: PLC0415
        from preread.service.upload import UploadLimits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing; from the folder of Preread's source: "
            "pip install '.[service]'"
        ) from None
    from preread.archive.pacs import OrthancPacs  # noqa: PLC0415
    from preread.iodeep.configured import configured_predictor  # noqa: PLC0415
    from preread.log import configure  # noqa: PLC0415
    from preread.service.networks import FolderNetworks, OrthancNetworks  # noqa: PLC0415

    site = _site(config, models)
    offer = Offer(
        discovery=role is not Role.PREDICTION,
        prediction=role is not Role.DISCOVERY,
        prediction_url=prediction_url.rstrip("/"),
        upload=UploadLimits(bytes=max_upload_megabytes * 1024**2, seconds=max_upload_seconds),
        max_image_bytes=site.settings.runner.max_image_megabytes * 1024**2,
    )
    networks = (
        FolderNetworks(folder, check_of(site, role))
        if folder is not None
        else OrthancNetworks(
            OrthancPacs(orthanc.rstrip("/"), username=username, password=password),
            site.models_folder,
        )
    )
    made = application(networks, configured_predictor(site), offer)
    typer.echo(f"http://{host}:{port}/iodeep", err=True)
    configure(None, console=True)
    uvicorn.run(
        made,
        host=host,
        port=port,
        http=bounded(ConnectionLimits.of_this_process()),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )


def check_of(site: Site, role: Role) -> Callable[[IODeep], object]:
    """Return what finds out whether a network can be run, as far as this service must know."""
    from preread.iodeep.architecture import parse_architecture  # noqa: PLC0415 - as above
    from preread.iodeep.configured import limits  # noqa: PLC0415
    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.validation import validate  # noqa: PLC0415

    most = limits(site.settings.iodeep.limits)
    if role is not Role.DISCOVERY:
        return partial(validate, folder=WeightsFolder(site.models_folder), limits=most)

    def can_be_built(network: IODeep) -> None:
        # The weights may lie where predictions are made.
        if isinstance(network.DnnArchitecture, str):
            parse_architecture(network.DnnArchitecture, most)

    return can_be_built


def _site(config: Path | None, models: Path | None) -> Site:
    from preread.settings import site_from, site_from_file  # noqa: PLC0415 - not needed for help

    here = Path("orthanc.json")
    found = config or (here if here.exists() else None)
    if found is not None and models is None:
        return site_from_file(found)
    site = site_from_file(found) if found else site_from({}, Path())
    if models is None:
        return site
    named = site.settings.models.model_copy(update={"folder": models.resolve()})
    settings = site.settings.model_copy(update={"models": named})
    return site.model_copy(update={"settings": settings})
