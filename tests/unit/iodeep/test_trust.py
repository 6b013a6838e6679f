"""What tells networks from all else at the door, and what they are trusted by."""

from __future__ import annotations

import base64
import datetime as dt
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from preread.errors import SettingsError
from preread.iodeep.reading import decode
from preread.iodeep.recognising import Recognised, admitted, digest_of, recognise
from preread.iodeep.signature import load_key, load_signer, sign, signer_of
from preread.iodeep.signing import signed
from preread.iodeep.trust import Trust
from preread.iodeep.weights import HashOfFile
from preread.iodeep.writing import encode
from preread.iodeep_sections import IODeepSettings
from preread.settings import needed_of, site_from
from tests.unit.iodeep.conftest import Build, Make

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
KEYS: dict[str, Callable[[], Any]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


def certify(folder: Path, key: Any, name: str = "site", days: int = 1000) -> tuple[Path, Path]:
    """Write a key and a certificate of its own signing that is valid from NOW on."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    paths = folder / f"{name}.key", folder / f"{name}.pem"
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths


def found_in(data: bytes) -> Recognised:
    found = recognise(data)
    assert found is not None
    return found


def rewritten(data: bytes, syntax: str) -> bytes:
    """Write a file anew, as an archive on the way may."""
    source = dcmread(io.BytesIO(data))
    dataset = Dataset()
    for element in source:
        dataset.add(element)
    dataset.file_meta = source.file_meta
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.preamble = bytes(128)
    file = io.BytesIO()
    dcmwrite(
        file,
        dataset,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        force_encoding=True,
    )
    return file.getvalue()


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_recognised_by_its_certificate(
    make: Make, tmp_path: Path, kind: str
) -> None:
    key, certificate = certify(tmp_path, KEYS[kind]())
    _, other = certify(tmp_path, KEYS[kind](), "other")
    data = signed(encode(make()), load_key(key))
    assert decode(data) == decode(encode(decode(data)))
    trusted = [load_signer(other), load_signer(certificate)]
    signer = signer_of(found_in(data), trusted, NOW)
    assert signer is not None
    assert signer.name == "site.pem"
    assert signer_of(found_in(data), trusted[:1], NOW) is None
    assert signer_of(found_in(encode(make())), trusted, NOW) is None


def test_a_signature_survives_the_way_through_archives(make: Make, tmp_path: Path) -> None:
    key, certificate = certify(tmp_path, KEYS["ed25519"]())
    data = signed(encode(make(Description="Läsion", DnnName="x")), load_key(key))
    trusted = [load_signer(certificate)]
    ways = [ImplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian]
    for way in ways:
        found = found_in(rewritten(data, way))
        assert digest_of(found) == digest_of(found_in(data))
        assert signer_of(found, trusted, NOW) is not None
        site = Trust(IODeepSettings(certificates=(certificate,)), tmp_path, lambda: NOW)
        meta = rewritten(data, way)[: found.header.meta.dataset_start]
        stored = admitted(found, meta, site.signature_of(found))
        assert signer_of(found_in(stored), trusted, NOW) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"DnnName": "another"},
        {"DnnUID": "1.2.3"},
        {"Modality": "CT"},
        {"BodyPartExamined": "CHEST"},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": 1.0, "WindowWidth": 2.0},
        {"Description": "Dice 1.0"},
        {"created": dt.datetime(2030, 1, 1)},  # noqa: DTZ001 - objects have no time zone
        {"SOPInstanceUID": "1.2.4"},
        {"DnnWeights": HashOfFile("a" * 64)},
    ],
)
def test_what_is_changed_is_no_longer_signed(
    make: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    key, certificate = certify(tmp_path, KEYS["ed25519"]())
    made = dt.datetime(2026, 1, 1)  # noqa: DTZ001
    good = signed(encode(make(created=made)), load_key(key))
    value = dcmread(io.BytesIO(good))[0x00171014]
    forged = dcmread(io.BytesIO(encode(make(**{"created": made} | changes))))
    forged.add(value)
    file = io.BytesIO()
    forged.save_as(file)
    trusted = [load_signer(certificate)]
    assert signer_of(found_in(good), trusted, NOW) is not None
    assert signer_of(found_in(file.getvalue()), trusted, NOW) is None


def test_a_certificate_counts_in_its_time_alone(make: Make, tmp_path: Path) -> None:
    key, certificate = certify(tmp_path, KEYS["ed25519"](), days=10)
    found = found_in(signed(encode(make()), load_key(key)))
    trusted = [load_signer(certificate)]
    for days, expected in ((-2, False), (0, True), (9, True), (11, False)):
        when = NOW + dt.timedelta(days=days)
        assert (signer_of(found, trusted, when) is not None) is expected


@pytest.mark.parametrize("value", ["", "x" * 5000, "not base64", "AAAA"])
def test_what_is_no_signature_is_none(make: Make, tmp_path: Path, value: str) -> None:
    key, certificate = certify(tmp_path, KEYS["p256"]())
    dataset = dcmread(io.BytesIO(signed(encode(make()), load_key(key))))
    dataset[0x00171014].value = value
    file = io.BytesIO()
    dataset.save_as(file)
    assert signer_of(found_in(file.getvalue()), [load_signer(certificate)], NOW) is None


def test_keys_that_are_none_or_too_weak_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no key")
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused
    key, certificate = certify(tmp_path, short, "weak")
    other, dsa_certificate = certify(tmp_path, dsa.generate_private_key(2048), "dsa")
    for path in (text, key, other, tmp_path / "absent"):
        with pytest.raises(SettingsError, match=path.name):
            load_key(path)
    for path in (text, certificate, dsa_certificate, tmp_path / "absent"):
        with pytest.raises(SettingsError, match=path.name):
            load_signer(path)


def test_a_site_trusts_nobody_unless_told(make: Make, tmp_path: Path) -> None:
    trust = Trust(IODeepSettings(), tmp_path)
    assert trust.of_contents(found_in(encode(make()))) == ""
    assert trust.of_user("") == trust.of_user("orthanc") == trust.of_title("") == ""


def test_a_site_trusts_its_certificates(make: Make, tmp_path: Path) -> None:
    key, certificate = certify(tmp_path, KEYS["p256"]())
    settings = IODeepSettings(certificates=(Path(certificate.name),))
    found = found_in(signed(encode(make()), load_key(key)))
    assert "site.pem" in Trust(settings, tmp_path, lambda: NOW).of_contents(found)
    later = NOW + dt.timedelta(days=5000)
    assert Trust(settings, tmp_path, lambda: later).of_contents(found) == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AllowedSHA256", ["abc"]),
        ("AllowedSHA256", ["g" * 64]),
        ("TrustedAets", ["A" * 17]),
        ("TrustedAets", [" "]),
        ("TrustedUser", ["alice"]),
    ],
)
def test_settings_that_trust_nobody_that_could_be_are_refused(key: str, value: list[str]) -> None:
    with pytest.raises(ValueError, match=key):
        IODeepSettings.model_validate({key: value})


@pytest.mark.parametrize(
    "tags", [(0x16, 0x18, 0x20, 0x22), (0x10, 0x11, 0x12, 0x13), (0x40, 0x41, 0x42, 0x43)]
)
def test_published_layouts_are_networks_too(
    prototype: Build, tags: tuple[int, int, int, int]
) -> None:
    data = prototype(tags=tags, StudyDescription="Head")
    found = found_in(data)
    stored = admitted(found, data[: found.header.meta.dataset_start])
    assert decode(stored) == decode(data)
    assert digest_of(found_in(stored)) == digest_of(found)


def test_what_no_network_has_is_no_network(make: Make, prototype: Build) -> None:
    good = encode(make())
    raw = dcmread(io.BytesIO(good))
    del raw[0x00171011]
    file = io.BytesIO()
    raw.save_as(file)
    deflated = dcmread(io.BytesIO(good))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    packed = io.BytesIO()
    deflated.save_as(packed)
    fault = dcmread(io.BytesIO(good))
    fault.SOPClassUID = fault.SOPInstanceUID  # the prototype's fault is not ours to repeat
    faulty = io.BytesIO()
    fault.save_as(faulty)
    for data in (
        b"",
        good[:400],
        good[:-7],
        good[132:],
        file.getvalue(),
        packed.getvalue(),
        faulty.getvalue(),
        prototype(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
        prototype(PixelData=b"\0\0", BitsAllocated=8),
        prototype(FloatPixelData=b"\0\0\0\0"),
    ):
        assert recognise(data) is None


def test_the_published_layouts_have_no_place_for_a_signature(
    prototype: Build, tmp_path: Path
) -> None:
    key, _ = certify(tmp_path, KEYS["ed25519"]())
    with pytest.raises(SettingsError, match="prototype"):
        signed(prototype(), load_key(key))
    with pytest.raises(SettingsError, match="no network"):
        signed(b"nothing", load_key(key))
    assert sign("a" * 64, load_key(key)) == sign("a" * 64, load_key(key))


@pytest.mark.parametrize(
    ("orthanc", "starts"),
    [
        ({"AuthenticationEnabled": True}, True),
        ({"RemoteAccessAllowed": True}, True),
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": False}, False),
        ({}, False),
    ],
)
def test_users_are_trusted_only_where_orthanc_checks_them(
    tmp_path: Path, orthanc: dict[str, Any], starts: bool
) -> None:
    configuration = orthanc | {"Preread": {"IODeep": {"TrustedUsers": ["alice"]}}}
    if starts:
        assert site_from(configuration, tmp_path).settings.iodeep.trusted_users == ("alice",)
    else:
        with pytest.raises(SettingsError, match=r"TrustedUsers.*AuthenticationEnabled"):
            site_from(configuration, tmp_path)


def test_titles_need_somebody_who_sends_in_what_is_held(tmp_path: Path) -> None:
    section: dict[str, Any] = {
        "IODeep": {"TrustedAets": ["TRAINER"]},
        "Deidentify": {"Mode": "incoming"},
        "Runner": {"Start": False},
    }
    configuration = {"OverwriteInstances": True, "Preread": section}
    with pytest.raises(SettingsError, match=r"TrustedAets.*Runner\.Start"):
        site_from(configuration, tmp_path)
    # What the plugin hands its runner must be judged in the same way.
    assert "AuthenticationEnabled" in needed_of({"AuthenticationEnabled": True})
    section["Ledger"] = {"Url": "postgresql://host/db"}
    assert site_from(configuration, tmp_path).settings.iodeep.trusted_aets == ("TRAINER",)
    del section["Ledger"], section["Runner"]
    assert site_from(configuration, tmp_path)


def test_a_large_network_is_let_in_with_one_copy(make: Make, tmp_path: Path) -> None:
    arrays = {"1.weight": np.zeros(20_000_000, np.float32)}
    dataset = dcmread(io.BytesIO(encode(make())))
    dataset[0x00171011].value = base64.b64encode(safetensors.numpy.save(arrays)).decode()
    file = io.BytesIO()
    dataset.save_as(file)
    data = file.getvalue()
    settings = IODeepSettings(AllowedSHA256=("0" * 64,))  # type: ignore[call-arg]
    trust = Trust(settings, tmp_path)
    tracemalloc.start()
    try:
        found = found_in(data)
        assert trust.of_contents(found) == ""  # hashed twice, and nowhere kept
        looked = tracemalloc.get_traced_memory()[1]
        stored = admitted(found, data[: found.header.meta.dataset_start])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(stored) > 100_000_000
    assert looked < 1_000_000
    assert peak < len(data) + 2_000_000
