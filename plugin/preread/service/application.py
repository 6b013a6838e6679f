"""The REST service as an ASGI application, with its OpenAPI document at ``/openapi.json``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from preread import __version__
from preread.archive.pacs import PacsError
from preread.errors import PrereadError
from preread.imaging import UnreadableImage
from preread.imaging.errors import NoImagePlaneError
from preread.iodeep.architecture import ArchitectureError
from preread.iodeep.errors import InvalidIODeepError, PredictionError
from preread.iodeep.selection import ImageFacts
from preread.results.structure_set import UnwritableStructureSetError
from preread.service.discovery import chosen, listed
from preread.service.errors import ServiceError, told
from preread.service.predicting import Prediction
from preread.service.schemas import Choice, ErrorAnswer, NetworkAnswer, PredictionAnswer
from preread.service.upload import UploadLimits, body_of, files_of

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor
    from preread.service.networks import Networks

MOST_WAITING: Final = 4
"""Predictions at a time: one runs, the others' bodies are held in memory."""
_RETRY_SECONDS: Final = 10
_DICOM: Final = "application/dicom"
_STATUSES: Final[tuple[tuple[type[PrereadError], int], ...]] = (
    (UnreadableImage, 400),
    (InvalidIODeepError, 422),
    (ArchitectureError, 422),
    (PredictionError, 422),
    (NoImagePlaneError, 422),
    (UnwritableStructureSetError, 422),
    (PacsError, 503),
)
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorAnswer} for status in (400, 404, 408, 413, 415, 422, 500, 503)
}

# The rest of a body that was given up would come before the next request.
_HEADERS: Final = {408: {"Connection": "close"}, 503: {"Retry-After": str(_RETRY_SECONDS)}}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a service does.

    Attributes
    ----------
    discovery, prediction
        Which of the two.
    prediction_url
        Where predictions are asked of another service, without a trailing slash.
    upload
        What a request may take.
    max_image_bytes
        Of one image's decoded frames.
    """

    discovery: bool = True
    prediction: bool = True
    prediction_url: str = ""
    upload: UploadLimits = field(default_factory=UploadLimits)
    max_image_bytes: int = 1024**3

    @property
    def predict(self) -> str:
        """The address of predictions without DnnUID; empty if there is none."""
        if self.prediction_url:
            return f"{self.prediction_url}/iodeep"
        return "/iodeep" if self.prediction else ""


def application(networks: Networks, predictor: Predictor, offer: Offer) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    networks
        That it offers.
    predictor
        That runs them.
    offer
        What it does.
    """
    made = FastAPI(
        title="Preread IODeep",
        summary="Networks that are DICOM objects: which one an image is for, and what it finds.",
        version=__version__,
        # The pages of documentation would be loaded from elsewhere on the internet.
        docs_url=None,
        redoc_url=None,
    )
    _handle_errors(made)
    service = _Service(networks, predictor, offer)

    @made.get("/health", summary="Whether the service answers.")
    async def health() -> dict[str, str]:
        return {"Name": "Preread IODeep", "Version": __version__}

    if offer.discovery:
        _add_discovery(made, service)
    if offer.prediction:
        _add_prediction(made, service)
    return made


class _Service:
    def __init__(self, networks: Networks, predictor: Predictor, offer: Offer) -> None:
        self.offer = offer
        self._networks = networks
        self._predictor = predictor
        self._running = asyncio.Lock()
        self._waiting = 0

    async def all(self) -> list[IODeep]:
        return await run_in_threadpool(self._networks.all)

    async def one(self, uid: str) -> IODeep:
        for network in await self.all():
            if network.DnnUID == uid:
                return network
        raise ServiceError(404, "there is no network of this DnnUID; GET /iodeep lists all")

    async def predict(self, uid: str, request: Request) -> Response:
        as_dicom = _wants_dicom(request.headers.get("accept", ""))
        network = await self.one(uid)
        if self._waiting >= MOST_WAITING:
            raise ServiceError(503, f"{MOST_WAITING} predictions are being made; try again later")
        self._waiting += 1
        try:
            body = await body_of(
                request.stream(), request.headers.get("content-length", ""), self.offer.upload
            )
            files = files_of(request.headers.get("content-type", ""), body)
            async with self._running:
                answer = await run_in_threadpool(self._predicted, network, files, as_dicom)
        finally:
            self._waiting -= 1
        if answer is None:
            return Response(status_code=204)
        if isinstance(answer, bytes):
            return Response(answer, media_type=_DICOM)
        return JSONResponse(answer)

    def _predicted(
        self, network: IODeep, files: list[bytes], as_dicom: bool
    ) -> bytes | dict[str, Any] | None:
        found = Prediction(self._predictor, network, files, max_bytes=self.offer.max_image_bytes)
        return found.structure_set() if as_dicom else found.to_json()


def _wants_dicom(accept: str) -> bool:
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for kind in kinds:
        if kind == _DICOM:
            return True
        if kind in ("", "*/*", "application/*", "application/json"):
            return False
    raise ServiceError(406, f"Accept: expected application/json or {_DICOM}")


_Text = Annotated[str, Query(max_length=256)]


def _add_discovery(made: FastAPI, service: _Service) -> None:
    @made.get(
        "/iodeep",
        summary="All networks; or, with a query, which one an image is for and why not another.",
        response_model=list[NetworkAnswer] | Choice,
        responses=_ERRORS,
    )
    async def discover(
        request: Request,
        Modality: _Text = "",  # noqa: N803 - the attributes' own names
        SamplesPerPixel: Annotated[int | None, Query(ge=1, le=99)] = None,  # noqa: N803
        BodyPartExamined: _Text = "",  # noqa: N803
        StudyDescription: _Text = "",  # noqa: N803
    ) -> Any:
        networks = await service.all()
        if not request.query_params:
            return [listed(network, service.offer.predict) for network in networks]
        unknown = set(request.query_params) - _QUERY
        if unknown:
            raise ServiceError(400, f"?{min(unknown)[:40]}: expected some of {sorted(_QUERY)}")
        if not Modality.strip() or SamplesPerPixel is None:
            raise ServiceError(400, "expected ?Modality and SamplesPerPixel, such as CT and 1")
        image = ImageFacts(
            Modality=Modality,
            SamplesPerPixel=SamplesPerPixel,
            BodyPartExamined=BodyPartExamined,
            StudyDescription=StudyDescription,
        )
        return chosen(image, networks, service.offer.predict)

    @made.get(
        "/iodeep/{DnnUID}",
        summary="What a network says of itself.",
        response_model=NetworkAnswer,
        responses=_ERRORS,
    )
    async def network(DnnUID: str) -> Any:  # noqa: N803
        return listed(await service.one(DnnUID), service.offer.predict)


_QUERY: Final = {"Modality", "SamplesPerPixel", "BodyPartExamined", "StudyDescription"}


def _add_prediction(made: FastAPI, service: _Service) -> None:
    binary = {"schema": {"type": "string", "format": "binary"}}
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "model": PredictionAnswer,
            "description": "The regions, or with Accept: application/dicom an RT Structure Set.",
            "content": {_DICOM: binary},
        },
        204: {"description": "Nothing was found, so there is no structure set."},
        406: {"model": ErrorAnswer},
    }

    @made.post(
        "/iodeep/{DnnUID}/predict",
        summary="The regions that a network proposes in the images that are sent.",
        responses=found | _ERRORS,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {_DICOM: binary, f'multipart/related; type="{_DICOM}"': binary},
            }
        },
    )
    async def predict(DnnUID: str, request: Request) -> Response:  # noqa: N803
        return await service.predict(DnnUID, request)


def _handle_errors(made: FastAPI) -> None:
    """Answer all errors as Orthanc does, and never with a traceback."""

    @made.exception_handler(PrereadError)
    async def ours(request: Request, error: PrereadError) -> JSONResponse:
        status = error.status if isinstance(error, ServiceError) else _status(error)
        if status >= 500:
            _log.error("not answered", method=request.method, reason=str(error))
        return _answer(request, status, str(error))

    @made.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _answer(request, 400, f"?{first['loc'][-1]}: {first['msg']}")

    @made.exception_handler(HTTPException)
    async def standard(request: Request, error: HTTPException) -> JSONResponse:
        details = "there is no such resource; see /openapi.json"
        answer = _answer(
            request, error.status_code, details if error.status_code == 404 else error.detail
        )
        answer.headers.update(error.headers or {})
        return answer

    @made.exception_handler(ClientDisconnect)
    async def gone(request: Request, _error: ClientDisconnect) -> JSONResponse:
        _log.info("sender has gone", method=request.method)
        return _answer(request, 400, "the connection was closed before the body was whole")

    @made.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected", method=request.method, error=type(error).__name__)
        return _answer(request, 500, "unexpected error; see the service's log")


def _status(error: PrereadError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _answer(request: Request, status: int, details: str) -> JSONResponse:
    return JSONResponse(
        told(status, details, request.method, request.url.path),
        status,
        headers=_HEADERS.get(status),
    )
