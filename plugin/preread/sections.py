"""The sections of the ``Preread`` object in Orthanc's configuration, each a typed model.

Every key has a default. The reference in ``docs/settings.md`` is generated from these models; those
of networks that are DICOM objects are in `preread.iodeep_sections`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from preread.deidentify import Option
from preread.iodeep_sections import IODeepSettings
from preread.models.engine_names import EngineName
from preread.section import Section

ORIGIN: Final = re.compile(r"https?://[^/@\s?#]+")
"""What RFC 6454 calls an origin, of a page of the web."""


class Mode(StrEnum):
    """What happens to the identity of an image that arrives."""

    INCOMING = "incoming"
    COPY = "copy"
    OFF = "off"


class Placement(StrEnum):
    """Where the predictions of an image are written."""

    IN_PLACE = "in-place"
    DERIVED = "derived"


class OutsideInput(StrEnum):
    """What becomes of an image that is not of the kind that a model was made for."""

    WITHHOLD = "withhold"
    MARK = "mark"


class AuditSettings(Section):
    """One JSON line for each object that is de-identified, free of identifiers."""

    file: Path | None = Field(
        Path("audit.jsonl"), description="The file. Relative to `Folder`; `null` writes none."
    )
    max_megabytes: int = Field(
        50, ge=1, le=65536, description="Size at which the file is put aside and a new one begun."
    )
    files: int = Field(10, ge=1, le=1000, description="How many files that were put aside stay.")


class QuarantineSettings(Section):
    """What becomes of objects that cannot be made safe."""

    enabled: bool = Field(
        False,
        description="`false` refuses them, so that the sender keeps them; `true` answers success "
        "and keeps them encrypted in `Folder`, out of Orthanc's sight. Refused parts of STOW-RS "
        "are always kept there with a DICOMweb plugin before 1.20, which would leave out what "
        "follows them.",
    )
    days: float | None = Field(
        30.0,
        gt=0,
        description="Days after which they are deleted; `null` keeps them for ever. "
        "What was held for a look at its pixels and could not be cleaned is kept until somebody "
        "deletes it.",
    )


class PixelSettings(Section):
    """What is looked at under the options that clean pixel data."""

    modalities: tuple[str, ...] = Field(
        (), description="Further modalities whose images are searched for burned-in text."
    )
    regions: Path | None = Field(
        None,
        description="A JSON file with further regions that devices write text into "
        "(docs/deidentification.md). Relative to the configuration file.",
    )


class DeidentifySettings(Section):
    """De-identification by PS3.15 Annex E."""

    mode: Mode = Field(
        Mode.COPY,
        description="`incoming` de-identifies before an image is stored; `copy` leaves the "
        "original as it came and makes a second, de-identified study; `off` does neither.",
    )
    key_file: Path = Field(
        Path("secret.key"),
        description="The secret from which pseudonyms and UIDs are made, created with mode 0600 "
        "at the first start. Relative to `Folder`. Keep a copy: without it the same patient "
        "becomes somebody else.",
    )
    dummy_text: str = Field(
        "**.**",
        min_length=1,
        max_length=16,
        pattern=r"^[\x20-\x5b\x5d-\x7e]+$",
        description="What replaces a text that the standard wants replaced by a dummy.",
    )
    options: tuple[Option, ...] = Field(
        (),
        description="Options of the profile (PS3.15 E.3), by the names in "
        "docs/deidentification.md, such as `RetainLongitudinalModifiedDates`.",
    )
    safe_private: dict[str, tuple[str, ...]] = Field(
        {},
        description="Further private attributes that `RetainSafePrivate` keeps, by private "
        'creator: `{"ACME 1.0": ["0019,xx0C"]}`.',
    )
    keep_words: tuple[str, ...] = Field(
        (), description="Further words that `CleanDescriptors` leaves in free text."
    )
    recipients: tuple[Path, ...] = Field(
        (),
        description="X.509 certificates of those who may re-identify; what was changed is "
        "encrypted for them in each object. Empty: there is no way back. Relative to the "
        "configuration file.",
    )
    pixels: PixelSettings = PixelSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    audit: AuditSettings = AuditSettings()


class ModelsSettings(Section):
    """Which networks run."""

    folder: Path = Field(
        Path("models"),
        description="The folder with one folder per model (`card.json`, `model.onnx`). "
        "Relative to the configuration file.",
    )
    run: tuple[str, ...] | None = Field(
        None,
        description="Names of the models to run, in the order in which the private block shows "
        "them; `null` runs every model in the folder.",
    )
    engine: EngineName = Field(
        EngineName.OPENVINO,
        description="What carries out the networks' arithmetic: `openvino`; `onnxruntime`, which "
        "uses a GPU where the package `onnxruntime-gpu` finds one; or `torch`, the reference. The "
        "last two need the extra of their name. A network kept in 8 bits computes in 8 bits with "
        "`openvino` where the processor can (VNNI), and gives the same but for rounding elsewhere.",
    )
    outside_input: OutsideInput = Field(
        OutsideInput.WITHHOLD,
        description="What becomes of an image that is not of the kind that a model was made for "
        "(`Input` in its card), such as CT in Hounsfield units for a model of pictures: `withhold` "
        "writes the reason in place of classes; `mark` has the model read it all the same, and "
        "writes the warning that this was never measured before the percentages. For research on "
        "such models only: on real CT those that ship were no better than chance.",
    )


class PredictionsSettings(Section):
    """How predictions are stored."""

    placement: Placement = Field(
        Placement.IN_PLACE,
        description="`in-place` writes them into the de-identified instance (needs Orthanc's "
        "`OverwriteInstances`); `derived` into a new series that refers to it.",
    )


class ResultsSettings(Section):
    """Objects beside the images: proposed and reviewed regions."""

    attach_to_original: bool = Field(
        False,
        description="In mode `copy`: whether proposals and what became of them in review are "
        "stored in the original study too, under the patient's own identity. The original "
        "images are never changed.",
    )
    writers: dict[str, tuple[str, ...]] = Field(
        {},
        description="By the name of a reader of series, which objects are written of what it "
        'finds, such as `{"nodules": ["rtstruct"]}`; an empty list writes none. A reader that '
        "is not named here writes all that it has.",
    )


class ExplainSettings(Section):
    """Pictures of what a network looked at, in the study of the image."""

    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Every image gets a picture for each of `Classes` to which a model gives this "
        "probability or more; `null` makes one only when somebody asks "
        "(`POST /preread/instances/{id}/explain`).",
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description="The classes that the threshold counts for; `null`: every class but one called "
        "`Normal`.",
    )
    models: tuple[str, ...] | None = Field(
        None,
        description="Names of the models that the threshold counts for; `null`: all that run.",
    )


class LedgerSettings(Section):
    """Where the record of what has to be read is kept."""

    url: str = Field(
        "",
        description="An SQLAlchemy URL, such as `postgresql+psycopg://user:${PGPASSWORD}@host/db`. "
        "Empty: SQLite in `Folder`. A runner on another machine needs PostgreSQL.",
    )
    node: str = Field(
        "orthanc",
        min_length=1,
        max_length=64,
        description="The name of this Orthanc in a ledger that several share.",
    )
    lease_seconds: float = Field(
        120.0,
        gt=1,
        le=86400,
        description="How long a runner may hold an image before it is lent again.",
    )
    max_attempts: int = Field(
        5, ge=1, le=100, description="Tries before an image is given up as `failed`."
    )
    backoff_seconds: float = Field(
        2.0, gt=0, le=3600, description="Wait before the second try; doubled for each further one."
    )


class RunnerSettings(Section):
    """The process that reads the images."""

    start: bool = Field(
        True,
        description="Whether Orthanc starts the runner and restarts it when it ends. With `false` "
        "start `preread runner` yourself, on any machine that reaches Orthanc and the ledger and "
        "has a copy of the key; beside Orthanc a small process brings the journal to a "
        "PostgreSQL ledger and looks at the networks (IODeep) that come.",
    )
    python: Path = Field(
        Path(".venv/bin/python"),
        description="The interpreter that runs it. Relative to the configuration file.",
    )
    url: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="Where the runner reaches Orthanc. Empty: this machine's `HttpPort`.",
    )
    username: str = Field("", description="Orthanc user of a runner that Orthanc did not start.")
    password: str = Field("", description="The password of that user.", repr=False)
    threads: int = Field(0, ge=0, le=1024, description="Threads for the networks; 0: all cores.")
    batch_size: int = Field(
        0, ge=0, le=1024, description="Images per pass of a network; 0: the engine's choice."
    )
    max_image_megabytes: int = Field(
        1024, ge=1, le=65536, description="Decoded size above which an image is left unread."
    )
    silence_seconds: float = Field(
        60.0,
        ge=5,
        le=86400,
        description="Seconds without a sign of life after which Orthanc ends the runner that it "
        "has started, and starts another. While the runner loads its networks, ten times as long.",
    )
    log_file: Path = Field(
        Path("runner.log"), description="The runner's log, JSON lines. Relative to `Folder`."
    )


class RestSettings(Section):
    """The `/preread` part of Orthanc's REST API."""

    wait_seconds: float = Field(
        60.0, ge=0, le=3600, description="How long a synchronous call waits before it answers 202."
    )
    max_upload_megabytes: int = Field(
        64, ge=1, le=4096, description="Largest PNG or JPEG that `POST /preread/images` takes."
    )
    allowed_origins: tuple[str, ...] = Field(
        (),
        description="Origins of pages that may change something here, such as "
        "`https://pacs.example.org`: those of a proxy before Orthanc, and Orthanc's own if people "
        "reach it by a name with a dot. Pages that Orthanc itself serves under an address, "
        "`localhost` or a name without a dot need no entry; programs that are no browsers neither.",
    )
    allow_unchecked: bool = Field(
        False,
        description="In mode `incoming`: whether attachments, metadata and labels may be written "
        "over REST. They pass no de-identification, so they are refused with 403 without it.",
    )

    user_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="The header in which a proxy that authenticates people names the user, such as "
        "`X-Forwarded-User`: that is who reviews. Set it only where every request comes through "
        "the proxy, and the proxy replaces what clients send in this header. Empty: the user that "
        "Orthanc has authenticated.",
    )

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not ORIGIN.fullmatch(origin.lower()):
                raise ValueError("expected origins, such as https://pacs.example.org, with no path")
        return origins


class Settings(Section):
    """The whole ``Preread`` section."""

    folder: Path = Field(
        Path("preread"),
        description="Where Preread keeps its key, ledger and logs. Relative to `StorageDirectory`.",
    )
    deidentify: DeidentifySettings = DeidentifySettings()
    models: ModelsSettings = ModelsSettings()
    predictions: PredictionsSettings = PredictionsSettings()
    results: ResultsSettings = ResultsSettings()
    explain: ExplainSettings = ExplainSettings()
    iodeep: IODeepSettings = Field(IODeepSettings(), alias="IODeep")
    ledger: LedgerSettings = LedgerSettings()
    runner: RunnerSettings = RunnerSettings()
    rest: RestSettings = RestSettings()
