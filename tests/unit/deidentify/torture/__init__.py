"""Files full of values that must not come out, and the search for them.

`torture_files` makes them, `Search` looks for what is left, `may_stay` reads from Table E.1-1 what
an option lets stay, and `obeyed` tells whether a row was obeyed at the top level. Nothing here
uses the engine under test, but for the table's own text and the types of the IODs.
"""

from tests.unit.deidentify.torture.canaries import Canary, Mint
from tests.unit.deidentify.torture.files import TortureFile, torture_files
from tests.unit.deidentify.torture.obeying import obeyed
from tests.unit.deidentify.torture.rows import ROWS, may_stay, row_of, vr_of
from tests.unit.deidentify.torture.searching import Search

__all__ = [
    "ROWS",
    "Canary",
    "Mint",
    "Search",
    "TortureFile",
    "may_stay",
    "obeyed",
    "row_of",
    "torture_files",
    "vr_of",
]
