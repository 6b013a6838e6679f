"""The audit trail that a site's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.deidentify.audit import AuditLog
from preread.deidentify.trail import trail_with

if TYPE_CHECKING:
    from preread.deidentify.trail import Trail
    from preread.settings import Site


def trail_of(site: Site) -> Trail | None:
    """Return what writes a site's audit lines; None where none are wanted.

    Raises
    ------
    preread.deidentify.audit.AuditError
        If the file cannot be opened.
    """
    settings = site.settings.deidentify
    if site.audit_file is None:
        return None
    log = AuditLog(
        site.audit_file,
        source=site.settings.ledger.node,
        max_bytes=settings.audit.max_megabytes * 2**20,
        files=settings.audit.files,
    )
    return trail_with(log)
