"""The ``Preread`` section of Orthanc's configuration, checked as a whole and against the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import json5
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from preread.deidentify import LOOKING, DeidentifyOptions, Option
from preread.errors import PrereadError, SettingsError
from preread.models.engine_names import EngineName
from preread.section import Section
from preread.sections import Mode, Placement, Settings
from preread.variables import expanded

__all__ = [
    "EngineName",
    "Mode",
    "OrthancFacts",
    "Placement",
    "Section",
    "Settings",
    "Site",
    "needed_keys",
    "needed_of",
    "site_from",
    "site_from_file",
]


class DicomWebFacts(BaseModel):
    """What Preread must know of the ``DicomWeb`` section."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    enable_metadata_cache: Annotated[bool, Field(alias="EnableMetadataCache")] = True


class OrthancFacts(BaseModel):
    """What Preread must know of the rest of Orthanc's configuration."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore", frozen=True)

    http_port: Annotated[int, Field(alias="HttpPort")] = 8042
    http_threads: Annotated[int, Field(alias="HttpThreadsCount")] = 50
    ssl_enabled: Annotated[bool, Field(alias="SslEnabled")] = False
    overwrite_instances: Annotated[bool, Field(alias="OverwriteInstances")] = False
    storage_directory: Annotated[Path, Field(alias="StorageDirectory")] = Path("OrthancStorage")
    storage_compression: Annotated[bool, Field(alias="StorageCompression")] = False
    dicom_web: Annotated[DicomWebFacts, Field(alias="DicomWeb")] = DicomWebFacts()
    ingest_transcoding: Annotated[str, Field(alias="IngestTranscoding")] = ""
    remote_access_allowed: Annotated[bool, Field(alias="RemoteAccessAllowed")] = False
    authentication_enabled: Annotated[bool | None, Field(alias="AuthenticationEnabled")] = None

    @field_validator("overwrite_instances", mode="before")
    @classmethod
    def _as_boolean(cls, value: object) -> object:
        """Take the words of Orthanc 1.13; what has changed is all that Preread overwrites."""
        words = {"Always": True, "IfChanged": True, "Never": False}
        return words.get(value, value) if isinstance(value, str) else value

    @property
    def authenticates(self) -> bool:
        """Whether Orthanc checks who a user is; without the setting, if others may reach it."""
        if self.authentication_enabled is None:
            return self.remote_access_allowed
        return self.authentication_enabled


class Site(BaseModel):
    """Settings whose paths are absolute, with what they rest on.

    Attributes
    ----------
    settings
        The ``Preread`` section.
    orthanc
        The keys of Orthanc's own configuration that Preread depends on.
    root
        The folder that relative paths in the configuration start from.
    """

    model_config = ConfigDict(frozen=True)

    settings: Settings
    orthanc: OrthancFacts
    root: Path

    @model_validator(mode="after")
    def _possible(self) -> Site:
        overwrite = self.orthanc.overwrite_instances
        mode, placement = self.settings.deidentify.mode, self.settings.predictions.placement
        if placement is Placement.IN_PLACE and mode is Mode.INCOMING and not overwrite:
            raise ValueError(
                "Preread.Predictions.Placement is in-place, which needs OverwriteInstances: true "
                '(or set the placement to "derived")'
            )
        if placement is Placement.IN_PLACE and mode is Mode.OFF:
            raise ValueError(
                "Preread.Predictions.Placement in-place would change the originals while "
                'Preread.Deidentify.Mode is off; set the placement to "derived"'
            )
        if placement is Placement.DERIVED and mode is Mode.COPY:
            raise ValueError(
                "Preread.Predictions.Placement derived has no use while Preread.Deidentify.Mode is "
                "copy: the copy that carries the predictions is a derived object already"
            )
        if self.settings.results.attach_to_original and mode is not Mode.COPY:
            raise ValueError(
                "Preread.Results.AttachToOriginal has no use while Preread.Deidentify.Mode is "
                f"{mode.value}: there is one study, and the results lie in it; set it to false"
            )
        if mode is Mode.COPY and Option.RETAIN_UIDS in self.settings.deidentify.options:
            raise ValueError(
                "Preread.Deidentify.Options has RetainUIDs while Preread.Deidentify.Mode is copy: "
                "the copy would take the original's place; use mode incoming, or leave it out"
            )
        if mode is Mode.INCOMING and self._waits_for_nobody:
            raise ValueError(
                "Preread.Deidentify.Options wants pixels looked at, which a process beside Orthanc "
                "does; set Preread.Runner.Start: true (or a PostgreSQL ledger)"
            )
        if mode is Mode.COPY and overwrite:
            raise ValueError(
                "Preread.Deidentify.Mode is copy, which must never replace an original; "
                "set OverwriteInstances: false"
            )
        if self.settings.iodeep.trusted_users and not self.orthanc.authenticates:
            raise ValueError(
                "Preread.IODeep.TrustedUsers has users while Orthanc does not check who somebody "
                "is; set AuthenticationEnabled: true"
            )
        if mode is Mode.INCOMING and self.settings.iodeep.trusted_aets and self._is_alone:
            raise ValueError(
                "Preread.IODeep.TrustedAets has AE titles, for which objects of others wait until "
                "a process beside Orthanc sends them in; set Preread.Runner.Start: true (or a "
                "PostgreSQL ledger)"
            )
        return self

    @property
    def _is_alone(self) -> bool:
        return not self.settings.runner.start and self.ledger_url.startswith("sqlite")

    @property
    def _waits_for_nobody(self) -> bool:
        looking = LOOKING & frozenset(self.settings.deidentify.options)
        return bool(looking) and self._is_alone

    @property
    def deidentify_options(self) -> DeidentifyOptions:
        """What de-identification may do.

        Raises
        ------
        SettingsError
            If options exclude each other.
        """
        chosen = self.settings.deidentify
        regions = chosen.pixels.regions
        try:
            return DeidentifyOptions(
                dummy_text=chosen.dummy_text,
                options=frozenset(chosen.options),
                safe_private=chosen.safe_private,
                words=chosen.keep_words,
                recipients=tuple(self.root / path for path in chosen.recipients),
                modalities=frozenset(chosen.pixels.modalities),
                regions=None if regions is None else self.root / regions,
                max_megabytes=self.settings.runner.max_image_megabytes,
            )
        except PrereadError as error:
            raise SettingsError(f"Preread.Deidentify: {error}") from None

    @property
    def audit_file(self) -> Path | None:
        """The audit trail; None where none is wanted."""
        file = self.settings.deidentify.audit.file
        return None if file is None else self.folder / file

    @property
    def held_folder(self) -> Path:
        """Where objects wait whose pixels must be looked at."""
        return self.folder / "held"

    @property
    def quarantine_folder(self) -> Path:
        """Where objects are kept that cannot be made safe."""
        return self.folder / "quarantine"

    @property
    def folder(self) -> Path:
        """Where Preread keeps its own files."""
        return self.root / self.orthanc.storage_directory / self.settings.folder

    @property
    def key_file(self) -> Path:
        """The secret's file."""
        return self.folder / self.settings.deidentify.key_file

    @property
    def key_marker_file(self) -> Path:
        """What tells the key that Orthanc's images were de-identified with; it lies beside them."""
        return self.root / self.orthanc.storage_directory / "preread.key-id"

    @property
    def patients_file(self) -> Path:
        """What tells whose a study is whose objects do not agree about the issuer."""
        return self.folder / "patients.sqlite"

    @property
    def journal_file(self) -> Path:
        """The hooks' own local record."""
        return self.folder / "journal.sqlite"

    @property
    def ledger_url(self) -> str:
        """The SQLAlchemy URL of the ledger."""
        return self.settings.ledger.url or f"sqlite:///{self.folder / 'ledger.sqlite'}"

    @property
    def models_folder(self) -> Path:
        """The folder of the models."""
        return self.root / self.settings.models.folder

    @property
    def python(self) -> Path:
        """The interpreter of the runner."""
        return self.root / self.settings.runner.python

    @property
    def log_file(self) -> Path:
        """The runner's log."""
        return self.folder / self.settings.runner.log_file

    @property
    def local_url(self) -> str:
        """Where Orthanc answers on this machine, without a trailing slash."""
        scheme = "https" if self.orthanc.ssl_enabled else "http"
        return f"{scheme}://127.0.0.1:{self.orthanc.http_port}"

    @property
    def url(self) -> str:
        """Where the runner reaches Orthanc, without a trailing slash."""
        return (self.settings.runner.url or self.local_url).rstrip("/")


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return (
            f"{'.'.join(['Preread', *location])} is not a setting of Preread (see docs/settings.md)"
        )
    if not location:
        return first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(['Preread', *location])}: {first['msg']}"


def site_from(configuration: dict[str, Any], root: Path) -> Site:
    """Check a whole Orthanc configuration and take from it what Preread needs.

    Parameters
    ----------
    configuration
        Orthanc's configuration, parsed.
    root
        The folder of the configuration file; relative paths start there.

    Raises
    ------
    SettingsError
        In one line that names the key.
    """
    configuration = expanded(needed_of(configuration), os.environ)
    section = configuration.get("Preread", {})
    try:
        if not isinstance(section, dict):
            raise SettingsError("Preread: expected a JSON object in the configuration")
        settings = Settings.model_validate(section)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    try:
        orthanc = OrthancFacts.model_validate(configuration)
        return Site(settings=settings, orthanc=orthanc, root=root.resolve())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{where}: {message}" if where else message) from None


def needed_keys() -> frozenset[str]:
    """Return the keys at the top of an Orthanc configuration that `site_from` looks at."""
    facts = OrthancFacts.model_fields.values()
    return frozenset({"Preread", *(field.alias for field in facts if field.alias)})


def needed_of(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an Orthanc configuration that `site_from` looks at.

    >>> needed_of({"HttpPort": 8042, "RegisteredUsers": {"alice": "secret"}})
    {'HttpPort': 8042}
    >>> needed_of({"DicomWeb": {"EnableMetadataCache": False, "Servers": {"a": "secret"}}})
    {'DicomWeb': {'EnableMetadataCache': False}}
    """
    keys = needed_keys()
    found = {key: value for key, value in configuration.items() if key in keys}
    if isinstance(web := found.get("DicomWeb"), dict):
        wanted = {field.alias for field in DicomWebFacts.model_fields.values()}
        found["DicomWeb"] = {key: value for key, value in web.items() if key in wanted}
    return found


def site_from_file(path: Path) -> Site:
    """Read a configuration file, or a folder of them, with comments, as Orthanc does.

    Raises
    ------
    SettingsError
        If it cannot be read, is not JSON, or holds an impossible setting.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    configuration: dict[str, Any] = {}
    for file in files:
        try:
            part = json5.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{file}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise SettingsError(f"{file}: not JSON ({error})") from None
        if not isinstance(part, dict):
            raise SettingsError(f"{file}: expected a JSON object")
        configuration.update(part)
    return site_from(configuration, path if path.is_dir() else path.parent)
