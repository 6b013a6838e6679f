"""The models that a site's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.models.catalogue import Catalogue

if TYPE_CHECKING:
    from preread.settings import Site


def catalogue_of(site: Site) -> Catalogue:
    """Read the cards of the models that a site runs.

    Raises
    ------
    preread.models.card.InvalidModelError
        If a card cannot be used, or a model is not there.
    """
    return Catalogue.load(site.models_folder, site.settings.models.run)
