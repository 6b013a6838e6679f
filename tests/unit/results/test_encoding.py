import pytest
from hypothesis import given
from hypothesis import strategies as st

from preread.results.encoding import Characters, element

TERMS = [
    (),
    ("",),
    ("ISO_IR 6",),
    ("ISO_IR 100",),
    ("ISO_IR 126",),
    ("ISO_IR 13",),
    ("ISO_IR 166",),
    ("ISO_IR 192",),
    ("GB18030",),
    ("", "ISO 2022 IR 87"),
    ("ISO 2022 IR 100", "ISO 2022 IR 126"),
    ("nonsense",),
]


@pytest.mark.parametrize("terms", TERMS, ids="+".join)
@given(text=st.text(max_size=60))
def test_what_is_written_is_read_again(terms: tuple[str, ...], text: str) -> None:
    characters = Characters(terms)
    written = characters.representable(text)
    assert characters.representable(written) == written
    assert "\\" not in written
    assert characters.decode(characters.encode(text)) == written


def test_other_repertoires_are_read() -> None:
    assert Characters(("GB18030",)).decode("肺".encode("gb18030")) == "肺"
    japanese = Characters(("", "ISO 2022 IR 87"))
    assert japanese.decode("肺".encode("iso2022_jp")) == "肺"
    assert "\ufffd" in Characters(("ISO_IR 192",)).decode(b"\xff\xfe")


def test_values_have_an_even_length() -> None:
    assert element(0x00080018, "UI", b"1.2") == b"\x08\x00\x18\x00UI\x04\x001.2\0"
    assert element(0x00550010, "LO", b"abc") == b"\x55\x00\x10\x00LO\x04\x00abc "
    with pytest.raises(ValueError, match="too many"):
        element(0x00550010, "LO", b"a" * 0x10000)
