"""The names of Orthanc's Python module that Preread's hooks use.

Typed from what the module of orthanc-python 4.0 shows at run time; names and their meaning follow
the stub that orthanc-python ships from 4.3 on. A test inside a running Orthanc compares the two.
"""

from collections.abc import Callable
from typing import ClassVar

class InstanceOrigin(int):
    UNKNOWN: ClassVar[InstanceOrigin]
    DICOM_PROTOCOL: ClassVar[InstanceOrigin]
    REST_API: ClassVar[InstanceOrigin]
    PLUGIN: ClassVar[InstanceOrigin]
    LUA: ClassVar[InstanceOrigin]
    WEB_DAV: ClassVar[InstanceOrigin]

class ReceivedInstanceAction(int):
    KEEP_AS_IS: ClassVar[ReceivedInstanceAction]
    MODIFY: ClassVar[ReceivedInstanceAction]
    DISCARD: ClassVar[ReceivedInstanceAction]

class ChangeType(int):
    DELETED: ClassVar[ChangeType]
    NEW_INSTANCE: ClassVar[ChangeType]
    ORTHANC_STARTED: ClassVar[ChangeType]
    ORTHANC_STOPPED: ClassVar[ChangeType]

class ResourceType(int):
    PATIENT: ClassVar[ResourceType]
    STUDY: ClassVar[ResourceType]
    SERIES: ClassVar[ResourceType]
    INSTANCE: ClassVar[ResourceType]
    NONE: ClassVar[ResourceType]

class HttpMethod(int):
    GET: ClassVar[HttpMethod]
    POST: ClassVar[HttpMethod]
    PUT: ClassVar[HttpMethod]
    DELETE: ClassVar[HttpMethod]

class OrthancException(Exception): ...

class DicomInstance:
    def GetInstanceData(self) -> bytes: ...
    def GetInstanceRemoteAet(self) -> str: ...

class RestOutput:
    def AnswerBuffer(self, buffer: bytes | str, mimeType: str, /) -> None: ...
    def SendHttpStatus(self, status: int, body: str, bodySize: int, /) -> None: ...
    def SendMethodNotAllowed(self, allowedMethods: str, /) -> None: ...
    def SetHttpHeader(self, key: str, value: str, /) -> None: ...

def GetConfiguration() -> str: ...
def GetConfigurationPath() -> str: ...
def GenerateRestApiAuthorizationToken() -> str: ...
def ExtendOrthancExplorer(javascript: str, /) -> None: ...
def LogError(message: str, /) -> None: ...
def LogWarning(message: str, /) -> None: ...
def LogInfo(message: str, /) -> None: ...
def RestApiGet(uri: str, /) -> bytes: ...
def RegisterReceivedInstanceCallback(
    callback: Callable[[bytes, InstanceOrigin], tuple[ReceivedInstanceAction, bytes | None]],
    /,
) -> None: ...
def RegisterOnStoredInstanceCallback(callback: Callable[[DicomInstance, str], None], /) -> None: ...
def RegisterOnChangeCallback(
    callback: Callable[[ChangeType, ResourceType, str], None], /
) -> None: ...
def RegisterIncomingCStoreInstanceFilter(callback: Callable[[DicomInstance], int], /) -> None: ...
def RegisterIncomingHttpRequestFilter(callback: Callable[..., bool], /) -> None: ...
def RegisterRestCallback(pathRegularExpression: str, callback: Callable[..., None], /) -> None: ...
