"""De-identification as a whole, header and pixels; for processes other than Orthanc's."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import TYPE_CHECKING

from preread.deidentify.deidentified import Deidentified
from preread.deidentify.deidentifier import Deidentifier
from preread.deidentify.errors import DeidentificationError
from preread.deidentify.options import DeidentifyOptions, Option
from preread.deidentify.pixels.policy import Look
from preread.deidentify.secret import Secret
from preread.deidentify.study_patients import StudyPatients
from preread.deidentify.trail import Trail
from preread.elements import Budget, Header

if TYPE_CHECKING:
    from preread.deidentify.pixels.cleaning import PixelCleaner


def pixel_cleaner(secret: Secret, options: DeidentifyOptions) -> PixelCleaner:
    """Return what looks at pixels, as options want it; it loads a detector."""
    from preread.deidentify.pixels.cleaning import (  # noqa: PLC0415 - when it is needed
        PixelCleaner,
        PixelOptions,
    )

    return PixelCleaner(
        secret.derive("pixels"),
        PixelOptions(
            text=Option.CLEAN_PIXEL_DATA in options.options,
            overlays=Option.CLEAN_GRAPHICS in options.options,
            faces=Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in options.options,
            regions=options.regions,
            max_megabytes=options.max_megabytes,
        ),
    )


class CompleteDeidentifier:
    """What `Deidentifier` does, and the look at the pixels that it leaves to others.

    Parameters
    ----------
    secret
        What pseudonyms are made from.
    options
        What may be chosen.
    trail
        Writes an audit line for each object; None writes none.
    sender
        Where objects come from, for that line.
    patients
        Whose a study is; see `Deidentifier`.
    """

    def __init__(
        self,
        secret: Secret,
        options: DeidentifyOptions,
        trail: Trail | None = None,
        sender: str = "",
        patients: StudyPatients | None = None,
    ) -> None:
        self._trail = trail
        self._sender = sender
        self._deidentifier = Deidentifier(secret, options, patients)
        self._make_cleaner = partial(pixel_cleaner, secret, options)
        self._cleaner: PixelCleaner | None = None

    def deidentify(self, data: bytes | memoryview, budget: Budget | None = None) -> Deidentified:
        """Return a file without its identity, also in the pixels where options want that.

        Parameters
        ----------
        data, budget
            As for `Deidentifier.deidentify`; the look at the pixels costs what it costs.

        Raises
        ------
        preread.deidentify.DeidentificationError, preread.elements.OverBudget
            As `Deidentifier.deidentify`; also if its pixels cannot be made safe.
        preread.deidentify.audit.AuditError
            If that cannot be written down.
        """
        began = time.perf_counter()
        try:
            done = self._done(data, budget)
        except DeidentificationError as error:
            if self._trail is not None:
                self._trail.refused(data, error, self._sender, began)
            raise
        if self._trail is not None:
            self._trail.deidentified(data, done, self._sender, began)
        return done

    def has_made(self, header: Header) -> bool:
        """Tell whether this key de-identified an object; see `Deidentifier.has_made`."""
        return self._deidentifier.has_made(header)

    def _done(self, data: bytes | memoryview, budget: Budget | None) -> Deidentified:
        done = self._deidentifier.deidentify(data, budget)
        if done.look is Look.NONE:
            return done
        if self._cleaner is None:
            self._cleaner = self._make_cleaner()
        cleaned = self._cleaner.clean(done.data, done.look)
        # Once more, as the receive hook does it: the file now says that its pixels are clean.
        again = self._deidentifier.deidentify(cleaned.data, budget)
        if again.look is not Look.NONE:
            raise DeidentificationError(None, "what was found in its pixels cannot be vouched for")
        return dataclasses.replace(again, header=done.header, counts=done.counts, lost=done.lost)
