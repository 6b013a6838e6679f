"""Who sends a request, as Orthanc or a proxy before it has found out.

A name in the body is only a claim. Orthanc checks users (``AuthenticationEnabled``) before it calls
us, and a proxy that checks them says in a header who it is, where the site has named that header.
"""

from __future__ import annotations

from collections.abc import Mapping

from preread.hooks.networks import user_of
from preread.hooks.rest import RestError
from preread.settings import Site

_LONGEST = 64  # characters of a PN


class Accounts:
    """Tells the authenticated user of a request.

    Parameters
    ----------
    checked
        Whether Orthanc checks who a user is; else its header says what anybody likes.
    header
        That in which a proxy names the user; empty if there is no such proxy.
    """

    def __init__(self, *, checked: bool, header: str = "") -> None:
        self._checked = checked
        self._header = header.lower()

    @classmethod
    def of_site(cls, site: Site) -> Accounts:
        """Make it as a site has set it."""
        return cls(checked=site.orthanc.authenticates, header=site.settings.rest.user_header)

    @property
    def knows_nobody(self) -> bool:
        """Whether no request has an authenticated user."""
        return not self._checked and not self._header

    def of(self, headers: Mapping[str, str]) -> str:
        """Return the user of a request; empty where nobody is authenticated.

        Parameters
        ----------
        headers
            Of the request, which Orthanc has let in.

        Raises
        ------
        RestError
            403, if a proxy is to name the user and does not.
        """
        told = {key.lower(): value for key, value in headers.items()}
        named = told.get(self._header, "").strip() if self._header else ""
        account = named or (user_of(told) if self._checked else "")
        if self._header and not account:
            raise RestError(
                403, f"the proxy names no user in {self._header} (Preread.Rest.UserHeader)"
            )
        if len(account) > _LONGEST or not account.isprintable():
            raise RestError(403, f"expected a user of up to {_LONGEST} printable characters")
        return account
