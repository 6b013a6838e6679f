"""The character sets of PS3.3 C.12.1.1.2 that canaries are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.unit.deidentify.torture.canaries import Script


def _codec(name: str, before: bytes = b"") -> Callable[[str], bytes]:
    return lambda text: before + text.encode(name)


SCRIPTS: Final = (
    Script("ISO 2022 IR 87", b"\\ISO 2022 IR 87", "山田太郎東京病院", _codec("iso2022_jp")),
    Script(
        "ISO 2022 IR 159",
        b"\\ISO 2022 IR 87\\ISO 2022 IR 159",
        "丂丄丅丌丒丟丣两",
        _codec("iso2022_jp_2"),
    ),
    Script(
        "ISO 2022 IR 13",
        b"ISO 2022 IR 13\\ISO 2022 IR 87",
        "ﾔﾏﾀﾞﾛｳﾊﾅ",
        _codec("shift_jis"),
    ),
    Script(
        "ISO 2022 IR 149",
        b"\\ISO 2022 IR 149",
        "김희중홍길동서울",
        _codec("euc_kr", b"\x1b$)C"),
    ),
    Script(
        "ISO 2022 IR 58",
        b"\\ISO 2022 IR 58",
        "王小东张医院北京",
        _codec("gb2312", b"\x1b$)A"),
    ),
    Script("UTF-8", b"ISO_IR 192", "éß山김Ω中Ж😀", _codec("utf-8")),
    Script("GB18030", b"GB18030", "王㐀東𠀀é院Ж中", _codec("gb18030")),
    Script("GBK", b"GBK", "王小東張醫院北京", _codec("gbk")),
    Script("Latin-1", b"ISO_IR 100", "äöüßéñøç", _codec("iso8859_1")),
    Script("Cyrillic", b"ISO_IR 144", "ЖдЛюЩчЯф", _codec("iso8859_5")),
    Script("Greek", b"ISO_IR 126", "ΔΩλπΣψξθ", _codec("iso8859_7")),
    Script("Hebrew", b"ISO_IR 138", "אבגדשלםת", _codec("iso8859_8")),
)
