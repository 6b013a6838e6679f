"""POST /preread/images: a PNG or JPEG in, a secondary capture stored.

A picture is decoded by another process, never inside Orthanc: what a stranger sends may crash a
decoder. The file it makes then takes the way of every image, through the receive hook.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from typing import Any

import httpx

from preread.hooks.context import Context
from preread.hooks.rest import Answer, Request, RestError
from preread.hooks.supervisor import environment_of_child

_DATA_URI = re.compile(r"data:image/(?:png|jpeg);base64,")
_CONVERT_SECONDS = 60
_BAD_PICTURE = 2  # the exit code of `python -m preread.imaging` for a picture it cannot take


def images(context: Context, request: Request) -> Answer:
    """Answer ``POST /preread/images``.

    The body is a JSON object as for ``/tools/create-dicom``, with ``Content`` (a data URI) and
    ``Tags`` (Modality, PatientID, StudyInstanceUID, BodyPartExamined, ...). ``Modality`` is needed:
    models are chosen by it, and nobody but the sender knows it. A bare picture cannot say it, and
    Orthanc hands a plugin no query of a POST.

    Raises
    ------
    RestError
        400 for what is no PNG or JPEG or comes without Modality, 413 for what is too large, 503
        where too many are sent at once, or Orthanc's own status.
    """
    largest = context.site.settings.rest.max_upload_megabytes * 2**20
    most = largest * 4 // 3 + 65536  # bytes of the picture in base64, with its tags
    if len(request.body) > most:
        raise RestError(413, f"larger than Preread.Rest.MaxUploadMegabytes ({largest >> 20} MB)")
    picture, tags = _parts(request, most)
    if len(picture) > largest:
        raise RestError(413, f"larger than Preread.Rest.MaxUploadMegabytes ({largest >> 20} MB)")
    if not tags.get("Modality"):
        raise RestError(
            400,
            'expected JSON: {"Content": "data:image/png;base64,...", "Tags": {"Modality": "CT"}}; '
            "without Modality no model can be chosen, and the picture would be stored unread",
        )
    with context.conversions.turn():
        return _store(context, _converted(context, picture, tags))


def _parts(request: Request, most: int) -> tuple[bytes, dict[str, str]]:
    if request.body.lstrip()[:1] != b"{":
        return request.body, {}
    body = request.json(most)
    unknown = set(body) - {"Content", "Tags"}
    if unknown:
        raise RestError(400, f"unknown in the body: {', '.join(sorted(unknown))[:100]}")
    content, tags = body.get("Content"), body.get("Tags", {})
    found = _DATA_URI.match(content) if isinstance(content, str) else None
    if found is None or not isinstance(content, str):
        raise RestError(400, "Content: expected a data URI, data:image/png;base64,... or jpeg")
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise RestError(400, "Tags: expected an object of texts")
    try:
        return base64.b64decode(content[found.end() :], validate=True), tags
    except binascii.Error:
        raise RestError(400, "Content: not base64") from None


def _converted(context: Context, picture: bytes, tags: dict[str, str]) -> bytes:
    command = [str(context.site.python), "-m", "preread.imaging"]
    # The tags travel with the picture on standard input: arguments are visible to everybody.
    message = json.dumps(tags).encode() + b"\n" + picture
    try:
        done = subprocess.run(
            command,
            input=message,
            capture_output=True,
            timeout=_CONVERT_SECONDS,
            check=False,
            env=environment_of_child(),
        )
    except subprocess.TimeoutExpired:
        raise RestError(400, f"the picture was not decoded in {_CONVERT_SECONDS} s") from None
    except OSError as error:
        raise RestError(500, f"Preread.Runner.Python cannot be run: {error.strerror}") from None
    if done.returncode == _BAD_PICTURE:
        raise RestError(400, done.stderr.decode("ascii", "replace").strip()[-300:])
    if done.returncode != 0:
        raise RestError(400, "the picture made its decoder fail; is it a whole PNG or JPEG?")
    return done.stdout


def _store(context: Context, file: bytes) -> Answer:
    # Over HTTP: the SDK's own POST would deadlock inside a callback.
    try:
        answer = httpx.post(
            f"{context.site.local_url}/instances",
            content=file,
            headers={"Authorization": context.token},
            timeout=60,
            verify=False,  # noqa: S501 - this machine's own loopback
            trust_env=False,  # a proxy has no place between Orthanc and itself
        )
    except httpx.HTTPError as error:
        raise RestError(503, f"Orthanc did not take it: {type(error).__name__}") from None
    if answer.status_code != 200:
        raise RestError(answer.status_code, "Orthanc refused it; see GET /preread/failures")
    stored: dict[str, Any] = answer.json()
    if not stored.get("ID"):
        # Taken, and stored once its pixels have been looked at; see GET /preread/quarantine.
        return Answer({"Status": "Held"}, status=202)
    return Answer(stored)
