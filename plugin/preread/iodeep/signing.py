"""Writing a signature into a network's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.elements import encode_element
from preread.errors import SettingsError
from preread.iodeep.layouts import signature_place
from preread.iodeep.recognising import digest_of, recognise
from preread.iodeep.signature import sign

if TYPE_CHECKING:
    from preread.iodeep.signature import PrivateKey


def signed(data: bytes, key: PrivateKey) -> bytes:
    """Sign a network's file; a signature that it bears is replaced.

    Parameters
    ----------
    data
        The file, in our layout.
    key
        As `preread.iodeep.signature.load_key` gives it.

    Raises
    ------
    SettingsError
        If it keeps no network, or in a layout that has no place for a signature.
    """
    found = recognise(data)
    if found is None:
        raise SettingsError("no network (IODeep) to sign: not Raw Data with a network in it")
    place = signature_place(found.places)
    if place is None:
        raise SettingsError(
            f"the {found.places.layout.value} layout has no place for a signature; make the object "
            "anew with `preread iodeep export` and `create`"
        )
    value = sign(digest_of(found), key).encode("ascii")
    element = encode_element(place, b"UT", value, found.header.encoding)
    elements = [each for each in found.header.all_elements if each.tag != place]
    view = memoryview(data)
    before = [view[each.start : each.end] for each in elements if each.tag < place]
    after = [view[each.start : each.end] for each in elements if each.tag > place]
    return b"".join((view[: found.header.meta.dataset_start], *before, element, *after))
