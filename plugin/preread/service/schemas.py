"""The answers of the service, for its OpenAPI document; keys as in Orthanc's own answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal


class _Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True)


class ErrorAnswer(_Answer):
    """An error."""

    details: Annotated[str, Field(description="What was expected and what to do.")]
    http_error: str
    http_status: int
    message: str
    method: str
    uri: str


class NetworkAnswer(_Answer):
    """What a network says of itself."""

    dnn_uid: Annotated[str, Field(alias="DnnUID")]
    dnn_name: str
    modality: str
    body_part_examined: str
    samples_per_pixel: int
    photometric_interpretation: str
    rows: int
    columns: int
    window_center: float | None
    window_width: float | None
    description: str
    sop_instance_uid: Annotated[str, Field(alias="SOPInstanceUID")]
    layout: str
    created: str | None
    predict: Annotated[str | None, Field(description="Where to post images to.")]


class Image(_Answer):
    """What was asked for."""

    modality: str
    samples_per_pixel: int
    body_part_examined: str
    body_parts: Annotated[list[str], Field(description="SNOMED CT codes.")]


class CandidateAnswer(_Answer):
    """A network, and why it is not for the image."""

    dnn_uid: Annotated[str, Field(alias="DnnUID")]
    dnn_name: str
    fits: bool
    failed_on: Annotated[str | None, Field(description="Keyword of what did not fit.")]
    reason: str
    by_the_article: Annotated[bool, Field(description="By the article's rule as it stands.")]
    predict: str | None


class Choice(_Answer):
    """Which network an image is for; those that fit come first, the best of them first."""

    notice: str
    image: Image
    dnn_uid: Annotated[str | None, Field(alias="DnnUID")]
    warning: str
    candidates: list[CandidateAnswer]


class RegionAnswer(_Answer):
    """A region of one frame."""

    sop_instance_uid: Annotated[str, Field(alias="SOPInstanceUID")]
    frame_number: Annotated[int, Field(description="From 1.")]
    kind: Literal["contour", "box"]
    channel: Annotated[int, Field(description="Of the network's output, from 0.")]
    polygon: Annotated[
        list[tuple[float, float]],
        Field(description="Columns and rows of a closed line; pixel centres are whole numbers."),
    ]
    area_pixels: float
    area_square_millimetres: float | None
    score: Annotated[float, Field(ge=0, le=1)]


class PredictionAnswer(_Answer):
    """What a network found."""

    notice: str
    dnn_uid: Annotated[str, Field(alias="DnnUID")]
    dnn_name: str
    weights_sha256: Annotated[str, Field(alias="WeightsSHA256")]
    images: int
    frames: int
    regions: list[RegionAnswer]
