"""The section ``IODeep``: networks that are DICOM objects, which are trusted, what they propose."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from preread.section import Section

SHIPPED = (
    "2.25.211953665694669429007833786817613894330",  # unet-small-ct-chest
    "2.25.202372403016709928863100691240380269027",  # unet-small-mr-head
)
"""DnnUIDs of the networks that ship, which were hardly measured on images of patients."""


class RegionSettings(Section):
    """Regions that networks of IODeep objects propose (docs/iodeep.md)."""

    threshold: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Probability from which a pixel belongs to a region, and below which a box is "
        "left out.",
    )
    smallest_area: float = Field(
        4.0,
        ge=0,
        le=1e9,
        description="Square millimetres below which a region of a slice is left out, and a hole in "
        "one is filled.",
    )
    smallest_pixels: int = Field(
        10,
        ge=1,
        le=10**9,
        description="The same in pixels, for images that do not say how large a pixel is.",
    )
    most: int = Field(
        100,
        ge=1,
        le=10000,
        description="How many regions of a frame are proposed: the largest.",
    )
    batch_size: int = Field(
        0,
        ge=0,
        le=1024,
        description="Frames per pass of a network; 0: what is fastest on a CPU, 8 or, with a large "
        "network, fewer. Fewer in any case where they would take more than "
        "`Runner.MaxImageMegabytes`, or make more than `IODeep.Limits.Activations`.",
    )
    networks_kept: int = Field(
        2, ge=1, le=64, description="How many networks stay in memory between two series."
    )


class ProposalSettings(Section):
    """When networks of IODeep objects look at a series without being asked."""

    enabled: bool = Field(
        True,
        description="Whether they do at all; `POST /preread/series/{id}/propose` asks in any case.",
    )
    quiet_seconds: float = Field(
        10.0,
        ge=0,
        le=86400,
        description="How long nothing has arrived in a series that counts as complete. What comes "
        "later has it looked at again.",
    )
    excluded_modalities: tuple[str, ...] = Field(
        (), description="Modalities whose series are looked at only if somebody asks."
    )
    on_request_only: tuple[str, ...] = Field(
        SHIPPED,
        description="Networks (DnnUID) that look only if somebody asks. By default the two that "
        "ship: on real series they found little of what readers marked, and much that nobody did "
        "(docs/regions.md). `[]` has every trusted network look by itself.",
    )


class LimitSettings(Section):
    """How large a network may be; what is larger is refused before anything is allocated."""

    characters: int = Field(
        262144, ge=1024, le=262144, description="Of the JSON of its architecture."
    )
    layers: int = Field(1000, ge=1, le=9999, description="How many it has.")
    parameters: int = Field(
        250_000_000, ge=1, le=10**10, description="Learned numbers; 4 bytes each in memory."
    )
    activations: int = Field(
        1_000_000_000,
        ge=1,
        le=10**12,
        description="Values that all layers together make of one image, or of those of one pass.",
    )
    operations: int = Field(
        2_000_000_000_000, ge=1, le=10**15, description="Multiplications for one image."
    )


class IODeepSettings(Section):
    """Networks that arrive as DICOM objects, and which of them are trusted (docs/iodeep.md)."""

    trusted_aets: tuple[str, ...] = Field(
        (),
        description="AE titles whose networks are trusted when they come by C-STORE. An AE title "
        "is what a sender calls itself: use this in a network where that can be believed.",
    )
    trusted_users: tuple[str, ...] = Field(
        (),
        description="Orthanc's users whose networks are trusted when they come by REST or STOW-RS; "
        "needs `AuthenticationEnabled`.",
    )
    allowed_sha256: tuple[str, ...] = Field(
        (),
        alias="AllowedSHA256",
        description="Networks that are trusted whoever sends them: the SHA-256 of the file, or the "
        "digest that `preread iodeep show` prints.",
    )
    certificates: tuple[Path, ...] = Field(
        (),
        description="X.509 certificates (PEM) whose signature a network is trusted by "
        "(`preread iodeep sign`). Relative to the configuration file.",
    )
    proposals: ProposalSettings = ProposalSettings()
    regions: RegionSettings = RegionSettings()
    limits: LimitSettings = LimitSettings()

    @field_validator("trusted_aets")
    @classmethod
    def _titles(cls, titles: tuple[str, ...]) -> tuple[str, ...]:
        if not all(0 < len(title.strip()) <= 16 for title in titles):
            raise ValueError("expected AE titles, 1 to 16 characters each")
        return tuple(title.strip() for title in titles)

    @field_validator("allowed_sha256")
    @classmethod
    def _hashes(cls, hashes: tuple[str, ...]) -> tuple[str, ...]:
        lower = tuple(one.lower().removeprefix("sha256:") for one in hashes)
        if not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in lower):
            raise ValueError("expected SHA-256 in 64 hexadecimal digits each")
        return lower
