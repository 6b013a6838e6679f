"""The networks that ship look only if somebody asks."""

from pathlib import Path

from preread.iodeep.opening import FOLDER
from preread.iodeep.reading import decode
from preread.sections import Settings

ROOT = Path(__file__).parents[3]


def test_by_default_the_networks_that_ship_look_on_request_alone() -> None:
    shipped = sorted((ROOT / "models" / FOLDER).glob("*.dcm"))
    uids = {decode(path.read_bytes()).DnnUID for path in shipped}
    assert len(uids) == 2
    assert set(Settings().iodeep.proposals.on_request_only) == uids
