"""One complete file in, one complete file without its identity out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from preread.deidentify.actions import CODES, Action
from preread.deidentify.deidentified import Deidentified
from preread.deidentify.descriptors import TextCleaner, known_words
from preread.deidentify.encrypted_attributes import (
    ENCRYPTED_ATTRIBUTES_SEQUENCE,
    attributes_item,
    content_transfer_syntax,
    modified_attributes,
)
from preread.deidentify.envelope import Recipients
from preread.deidentify.envelope_seal import EnvelopeSeal
from preread.deidentify.errors import DeidentificationError
from preread.deidentify.identity import IDENTITY, Identities, Identity
from preread.deidentify.known import identifying_texts
from preread.deidentify.marks import (
    DEIDENTIFICATION_METHOD,
    MARKS,
    beginning,
    marks,
    method,
)
from preread.deidentify.options import DeidentifyOptions, Option
from preread.deidentify.pixel_data import stored_pixels
from preread.deidentify.pixels.policy import Look, looks
from preread.deidentify.pixels.seal import PixelSeal
from preread.deidentify.private_blocks import PrivateBlocks
from preread.deidentify.profile import profile_of
from preread.deidentify.replacements import Replacements
from preread.deidentify.rewriting import Rewriting
from preread.deidentify.safe_private import SafePrivate
from preread.deidentify.secret import Secret
from preread.deidentify.standing_in import Part
from preread.deidentify.stray_pixels import check_pixels_stay
from preread.deidentify.study_patients import StudyPatients
from preread.deidentify.values import Keyed, Values
from preread.elements import (
    Budget,
    Encoding,
    Header,
    MalformedFile,
    encode_element,
    encode_item,
    read_header,
)
from preread.lost_values import lost_tags, marks_of

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXELS: Final = 0x7FE0

_WRITTEN: Final = (*IDENTITY, *MARKS)
"""Attributes that are written anew, whatever was there."""

_PIECE: Final = 2**18
_BYTES_OF_A_UNIT: Final = 16  # that are deflated in the time of one unit of a budget
_MOST_LOST: Final = 100  # kinds of loss that are told; a file of many is told by its first ones
_LOOKED_FOR: Final = {
    Option.CLEAN_PIXEL_DATA: Look.TEXT | Look.REST,
    Option.CLEAN_GRAPHICS: Look.OVERLAYS,
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: Look.FACE,
}


class Deidentifier:
    """PS3.15 Annex E, Basic Application Level Confidentiality Profile, with its options.

    Thread safe. De-identifying again what this de-identified gives the same bytes.

    Parameters
    ----------
    secret
        What pseudonyms are made from.
    options
        What may be chosen.
    patients
        Whose a study is, where its objects do not agree about the issuer; None takes each object
        for itself.

    Raises
    ------
    preread.errors.PrereadError
        If a certificate or an entry of `DeidentifyOptions.safe_private` cannot be used.
    """

    def __init__(
        self,
        secret: Secret,
        options: DeidentifyOptions | None = None,
        patients: StudyPatients | None = None,
    ) -> None:
        self._options = options or DeidentifyOptions()
        chosen = self._options.options
        self._identities = Identities(secret, chosen, patients)
        self.pseudonyms = self._identities.pseudonyms
        self._aliases = secret.derive("titles")
        self._seal = PixelSeal(secret.derive("pixels"))
        self._envelopes = EnvelopeSeal(secret.derive("envelopes"))
        self._profile = profile_of(chosen)
        self._edition = self._profile.edition.split(",")[0]
        self._safe = (
            SafePrivate(self._options.safe_private)
            if Option.RETAIN_SAFE_PRIVATE in chosen
            else None
        )
        self._cleaner = TextCleaner(self._options.words) if chosen & _CLEANING else None
        self._recipients = (
            Recipients.load(self._options.recipients) if self._options.recipients else None
        )
        self._tops: dict[int, dict[int, Action]] = {}
        self._replacements: dict[Encoding, Replacements] = {}
        self._marks: dict[tuple[Encoding, frozenset[Option]], dict[int, bytes]] = {}

    def deidentify(self, data: bytes | memoryview, budget: Budget | None = None) -> Deidentified:
        """Return a file without its identity; pixel data is passed on as it is.

        Parameters
        ----------
        data
            A file of any transfer syntax.
        budget
            What it may cost; None for no bound.

        Raises
        ------
        DeidentificationError
            If it is malformed, or lacks what tells objects apart: such a file must not be stored.
        preread.elements.OverBudget
            If it takes longer than it may.
        """
        try:
            return self._deidentified(read_header(data, budget))
        except MalformedFile as error:
            reason = f"at byte {error.offset}: {error.reason}"
            raise DeidentificationError(error.tag, reason) from None

    def has_made(self, header: Header) -> bool:
        """Tell whether this key de-identified an object: only then may its node change it."""
        return self._identities.are_ours(header)

    def _deidentified(self, header: Header) -> Deidentified:
        identity = self._identities.of(header)
        look, methods = self._look(header)
        looked = bool(methods)
        if identity.was_ours and (envelope := self._envelopes.found(header)) is not None:
            methods = (*methods, envelope)
        done = frozenset(
            option
            for option in self._options.options
            if not look & _LOOKED_FOR.get(option, Look.NONE)
        )
        pixels = stored_pixels(header)
        written = {**self._written(header, identity, done, methods), **pixels.written}
        rewriting = self._rewriting(header, identity)
        elements = header.all_elements
        if pixels.element is not None:
            elements = elements[:-1]
        body = rewriting.data_set(elements, self._top(identity, written), written)
        check_pixels_stay(header, rewriting.changed, rewriting.lost)
        if lost := _lost_marks(header, rewriting):
            methods = (*methods, *lost)
            place = rewriting.places[DEIDENTIFICATION_METHOD]
            body[place] = method(header.encoding, self._edition, methods)
        if self._recipients is not None and not identity.was_ours:
            self._seal_originals(self._recipients, header, rewriting, body, methods)
        if pixels.element is not None:
            body += pixels.element
        parts: list[Part] = [
            beginning(identity.sop_class, identity.instance, header.TransferSyntaxUID),
            *(_deflated(body, header.ends.budget) if header.encoding.deflated else body),
        ]
        return Deidentified(
            parts=tuple(parts),
            header=header,
            PatientID=identity.patient,
            StudyInstanceUID=identity.study,
            SeriesInstanceUID=identity.series,
            SOPInstanceUID=identity.instance,
            SOPClassUID=identity.sop_class,
            counts={code: rewriting.counts[action] for action, code in CODES.items()},
            options=done,
            look=look,
            lost=tuple(list(rewriting.lost)[:_MOST_LOST]),
            sealed=ENCRYPTED_ATTRIBUTES_SEQUENCE in written,
            looked=looked,
        )

    def _look(self, header: Header) -> tuple[Look, tuple[str, ...]]:
        """Return what must be looked at, and what to say of a look that was had before."""
        chosen = self._options.options
        look = looks(
            header,
            clean_pixels=Option.CLEAN_PIXEL_DATA in chosen,
            clean_graphics=Option.CLEAN_GRAPHICS in chosen,
            clean_faces=Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES in chosen,
            modalities=self._options.modalities,
        )
        seal = self._seal.found(header, look)
        if seal is not None:
            return Look.NONE, (seal,)
        return look, ()

    def _written(
        self,
        header: Header,
        identity: Identity,
        done: frozenset[Option],
        methods: tuple[str, ...],
    ) -> dict[int, bytes]:
        """Return what is written anew at the top level, encoded, by tag."""
        encoding = header.encoding
        found = self._marks.get((encoding, done)) if not methods else None
        if found is None:
            found = marks(encoding, self._edition, done, methods)
            if not methods:
                self._marks[encoding, done] = found
        written = dict(found)
        written.update(identity.encoded(encoding))
        if identity.was_ours:
            # The way back of the first time, for there is no other; and not what poses as one.
            if self._envelopes.found(header) is not None:
                written[ENCRYPTED_ATTRIBUTES_SEQUENCE] = header.whole(ENCRYPTED_ATTRIBUTES_SEQUENCE)
        elif self._recipients is not None:
            written[ENCRYPTED_ATTRIBUTES_SEQUENCE] = b""  # when all is known that has changed
        return written

    def _top(self, identity: Identity, written: Mapping[int, bytes]) -> dict[int, Action]:
        actions = self._profile.top(identity.sop_class)
        if len(written) > len(_WRITTEN):
            return {**actions, **dict.fromkeys(written, Action.SET)}
        found = self._tops.get(id(actions))
        if found is None:
            found = {**actions, **dict.fromkeys(_WRITTEN, Action.SET)}
            self._tops[id(actions)] = found
        return found

    def _rewriting(self, header: Header, identity: Identity) -> Rewriting:
        encoding, view = header.encoding, memoryview(header.data)
        declared = header.raw(_SPECIFIC_CHARACTER_SET).decode("ascii", "replace")
        terms = [term.strip(" \0") for term in declared.split("\\")]
        replacements = self._replacements.get(encoding)
        if replacements is None:
            replacements = Replacements(encoding, self._options.dummy_text)
            self._replacements[encoding] = replacements
        keyed = Keyed(
            pseudonyms=self.pseudonyms,
            alias_key=self._aliases,
            shift=identity.shift,
            cleaner=self._cleaner,
            known=lambda: known_words(identifying_texts(header, terms)),
            character_sets=terms,
        )
        private = PrivateBlocks(
            view, self._safe, self._profile.private_uids, self._profile.private_times
        )
        values = Values(view, keyed, header.ends.budget)
        return Rewriting(
            header.data, self._profile, replacements, values, private, ends=header.ends
        )

    def _seal_originals(
        self,
        recipients: Recipients,
        header: Header,
        rewriting: Rewriting,
        body: list[Part],
        methods: tuple[str, ...],
    ) -> None:
        """Put all that was changed into the Encrypted Attributes Sequence (PS3.15 E.1.1)."""
        encoding, view = header.encoding, memoryview(header.data)
        first = {element.tag: element for element in reversed(rewriting.changed)}
        originals = [
            view[element.start : element.end]
            for tag, element in sorted(first.items())
            if tag >> 16 != _PIXELS and tag & 0xFFFF and element.start >= 0
        ]
        content = recipients.seal(modified_attributes(originals, encoding))
        within = attributes_item(content, content_transfer_syntax(encoding), encoding)
        sequence = encode_element(
            ENCRYPTED_ATTRIBUTES_SEQUENCE, b"SQ", encode_item(within, encoding), encoding
        )
        seal = self._envelopes.text([content + b"\0" * (len(content) % 2)])
        body[rewriting.places[ENCRYPTED_ATTRIBUTES_SEQUENCE]] = sequence
        body[rewriting.places[DEIDENTIFICATION_METHOD]] = method(
            encoding, self._edition, (*methods, seal)
        )


_CLEANING: Final = frozenset(
    (
        Option.CLEAN_DESCRIPTORS,
        Option.CLEAN_GRAPHICS,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.RETAIN_PATIENT_CHARACTERISTICS,  # cleans Allergies and Patient State
    )
)


def _lost_marks(header: Header, rewriting: Rewriting) -> tuple[str, ...]:
    """Return what to say of attributes that were lost, now or when it was de-identified before."""
    before: tuple[int, ...] = ()
    if DEIDENTIFICATION_METHOD in header:
        before = lost_tags(header.text(DEIDENTIFICATION_METHOD).split("\\"))
    if not before and not rewriting.lost:
        return ()
    return marks_of((*before, *(tag for tag, _ in rewriting.lost)))


def _deflated(parts: list[Part], budget: Budget) -> list[Part]:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated: list[Part] = []
    for part in parts:
        for start in range(0, len(part), _PIECE):
            piece = part[start : start + _PIECE]
            budget.spend(len(piece) // _BYTES_OF_A_UNIT)
            deflated.append(engine.compress(piece))
    deflated.append(engine.flush())
    if sum(map(len, deflated)) & 1:
        deflated.append(b"\0")  # PS3.5 A.5
    return deflated
