"""Whose a study is, where its objects do not agree about the issuer of the patient's ID.

IssuerOfPatientID (0010,0021) tells patients of two hospitals apart that have the same ID. Within
one study it tells nobody apart, since a study is one patient's (PS3.3 A.1.2): some devices and
archives fill it in, others do not. So the first object of a study decides about the pseudonym, and
what comes later under the same PatientID gets the same one.

What is kept leads nowhere without the key: a keyed digest of study and PatientID, and a pseudonym.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from preread.deidentify.errors import StudyPatientsError
from preread.deidentify.secret import Secret
from preread.wal import use_wal

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS study_patient (study BLOB PRIMARY KEY, patient TEXT NOT NULL) "
    "WITHOUT ROWID"
)
_ADD: Final = "INSERT OR IGNORE INTO study_patient VALUES (?, ?)"
_FIND: Final = "SELECT patient FROM study_patient WHERE study = ?"
_MOST_REMEMBERED: Final = 10_000
_WAIT: Final = 0.5  # seconds for another process


class StudyPatients:
    """A small file beside the key, for any number of processes.

    Thread safe.

    Parameters
    ----------
    file
        Made with mode 0600 when it is first needed.
    secret
        The key.
    """

    def __init__(self, file: Path, secret: Secret) -> None:
        self._file = file
        self._key = secret.derive("study patients")
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._remembered: OrderedDict[tuple[str, str], str] = OrderedDict()

    def patient(self, study: str, identifier: str, pseudonym: str) -> str:
        """Return the pseudonym of a study's patient.

        Parameters
        ----------
        study
            The study's new UID.
        identifier
            PatientID as it came, without padding.
        pseudonym
            What the patient is called if this object is the first one of the study.

        Raises
        ------
        StudyPatientsError
            If it cannot be found out or written down.
        """
        with self._lock:
            known = self._remembered.get((study, identifier))
            if known is None:
                known = self._found(study, identifier, pseudonym)
                self._remembered[study, identifier] = known
                if len(self._remembered) > _MOST_REMEMBERED:
                    self._remembered.popitem(last=False)
            return known

    def _found(self, study: str, identifier: str, pseudonym: str) -> str:
        message = study.encode() + b"\0" + identifier.encode("utf-8", "surrogatepass")
        place = hmac.digest(self._key, message, "sha256")[:16]
        try:
            database = self._opened()
            row = database.execute(_FIND, (place,)).fetchone()
            if row is None:
                # Of two processes that add at once the first one counts.
                database.execute(_ADD, (place, pseudonym))
                row = database.execute(_FIND, (place,)).fetchone()
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error.args[0]
            raise StudyPatientsError(
                f"{self._file}: whose a study is cannot be kept there ({reason}); make room, and "
                "let Preread write there"
            ) from None
        return str(row[0])

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(
                self._file, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            # Nobody who looks waits for who writes, and a commit waits for no disk: as the hooks'
            # journal, it survives a `kill -9` at any moment.
            use_wal(database, _WAIT)
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_TABLE)
            self._database = database
        return self._database
