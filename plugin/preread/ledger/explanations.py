"""The queue of what is to be explained, in the same database as the ledger.

It has the shape of the ledger's own (see `preread.ledger.lending`). As there, an instance's row is
locked before the rows that refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from preread.ledger.asking import ask, shown
from preread.ledger.explanation import Explanation, ExplanationState, MapIdentity, Wanted
from preread.ledger.lending import Lending, end
from preread.ledger.schema import STORED, ExplanationRow, InstanceRow

_MOST_WITHDRAWN: Final = 100
_SUPERSEDED: Final = "the image arrived again or was deleted meanwhile"


class Explanations(Lending[ExplanationRow, Explanation, ExplanationState]):
    """What networks are to show of themselves, on one node."""

    _table = ExplanationRow
    _states = ExplanationState
    _max_attempts = 3
    _ended = "the runner ended {} times while it made this map; see its log"

    # What the API needs.

    def ask(self, instance: str, wanted: Sequence[Wanted]) -> list[Explanation]:
        """Have classes of an image explained, in its current generation.

        What was explained before is explained again; its map takes the place of the old one.

        Parameters
        ----------
        instance
            Orthanc's id; nothing is written down for one that is unknown or deleted.
        wanted
            Each once.
        """
        with self._database.writing() as session:
            row = session.scalar(
                select(InstanceRow)
                .where(
                    InstanceRow.node == self._node,
                    InstanceRow.instance == instance,
                    InstanceRow.deleted.is_(False),
                )
                .with_for_update()
            )
            if row is None:
                return []
            rows = ask(session, row, wanted, self._now(session))
            return [shown(one, instance) for one in rows]

    def of(self, instance: str) -> list[Explanation]:
        """Return what is to be seen, or will be, of the current pixels of an image.

        Parameters
        ----------
        instance
            Orthanc's id.
        """
        query = (
            select(ExplanationRow)
            .join(InstanceRow, InstanceRow.id == ExplanationRow.instance_id)
            .where(
                InstanceRow.node == self._node,
                InstanceRow.instance == instance,
                InstanceRow.deleted.is_(False),
                InstanceRow.generation == ExplanationRow.generation,
            )
            .order_by(ExplanationRow.id)
        )
        with self._database.reading() as session:
            return [shown(row, instance) for row in session.scalars(query)]

    # What the runner needs.

    def reserve(self, owner: str, lease_seconds: float) -> Explanation | None:
        """Lend the next one: what somebody waits for first, what a runner died of last."""
        with self._database.writing() as session:
            first = ExplanationRow.asked.desc()
            now = self._now(session)
            row = self._lend_next(session, owner, lease_seconds, now, first=first)
            return None if row is None else shown(row, self._name_of(session, row))

    def done(self, explanation: Explanation, place: MapIdentity, probability: float | None) -> bool:
        """Write down where a map is stored, and which probability it shows, if any.

        Returns
        -------
        bool
            False if it is no longer held.
        """

        def write(row: ExplanationRow) -> None:
            _place(row, place)
            row.probability = probability

        return self._finish(explanation, ExplanationState.DONE, write=write)

    def superseded(self, explanation: Explanation) -> bool:
        """Write down that the image is not the one any more that was to be explained."""
        return self._finish(explanation, ExplanationState.SUPERSEDED, _SUPERSEDED)

    def withdrawn(self) -> list[Explanation]:
        """Return maps that are stored and should not be.

        Their image was deleted or has other pixels now, or they could not be made anew.
        """
        query = (
            select(ExplanationRow, InstanceRow.instance)
            .join(InstanceRow, InstanceRow.id == ExplanationRow.instance_id)
            .where(
                ExplanationRow.node == self._node,
                STORED,
                or_(
                    InstanceRow.deleted.is_(True),
                    InstanceRow.generation != ExplanationRow.generation,
                    ExplanationRow.state == ExplanationState.FAILED.value,
                ),
            )
            .order_by(ExplanationRow.id)
            .limit(_MOST_WITHDRAWN)
        )
        with self._database.reading() as session:
            return [shown(row, instance) for row, instance in session.execute(query)]

    def forget_map(self, explanation: Explanation) -> None:
        """Write down that a map is not stored any more."""
        with self._database.writing() as session:
            row = session.get(ExplanationRow, explanation.id, with_for_update=True)
            stored = explanation.map
            if row is not None and stored is not None and row.map_instance == stored.instance:
                _place(row, MapIdentity("", "", "", ""))
                if row.state == ExplanationState.DONE.value:
                    end(row, ExplanationState.SUPERSEDED, _SUPERSEDED, self._now(session))

    # How it is done.

    def _name_of(self, session: Session, row: ExplanationRow) -> str:
        found = session.get(InstanceRow, row.instance_id)
        return "" if found is None else found.instance


def _place(row: ExplanationRow, place: MapIdentity) -> None:
    row.map_instance = place.instance
    row.SOPInstanceUID = place.SOPInstanceUID
    row.SeriesInstanceUID = place.SeriesInstanceUID
    row.StudyInstanceUID = place.StudyInstanceUID
