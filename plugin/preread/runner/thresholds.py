"""Which images get a picture of what a network looked at without anybody asking for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.errors import SettingsError
from preread.ledger.explanation import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.findings.prediction import Prediction
    from preread.models.catalogue import Catalogue
    from preread.sections import ExplainSettings

_ORDINARY: Final = "normal"
_SHOWN: Final = 500  # characters of a list of names


class Thresholds:
    """The rule of the section ``Preread.Explain``.

    Parameters
    ----------
    settings
        The section.
    catalogue
        The models that run.

    Raises
    ------
    SettingsError
        If it names a model or a class that there is not.
    """

    def __init__(self, settings: ExplainSettings, catalogue: Catalogue) -> None:
        self._threshold = settings.threshold
        self._labels = None if settings.classes is None else frozenset(settings.classes)
        self._models = frozenset(catalogue.names if settings.models is None else settings.models)
        _check("Models", self._models, catalogue.names)
        if self._labels is not None:
            chosen = (catalogue[name] for name in catalogue.names if name in self._models)
            _check("Classes", self._labels, [one for model in chosen for one in model.card.Classes])

    def wanted(self, models: Sequence[str], predictions: Sequence[Prediction]) -> list[Wanted]:
        """Tell what is to be explained of an image that has just been read.

        Parameters
        ----------
        models
            Names of the folders of the models that read it.
        predictions
            What each said, in the same order.
        """
        if self._threshold is None:
            return []
        return [
            Wanted.of(name, prediction, label)
            for name, prediction in zip(models, predictions, strict=True)
            # A withheld image was given no class that could reach a threshold.
            if name in self._models and not prediction.withheld
            for label, probability in zip(prediction.classes, prediction.probabilities, strict=True)
            if probability >= self._threshold and self._counts(label)
        ]

    def _counts(self, label: str) -> bool:
        if self._labels is None:
            return label.casefold() != _ORDINARY
        return label in self._labels


def _check(key: str, given: frozenset[str], there: Sequence[str]) -> None:
    missing = sorted(given - set(there))
    if missing:
        known = ", ".join(dict.fromkeys(there)) or "none"
        raise SettingsError(
            f"Preread.Explain.{key}: there is no {missing[0][:64]!r}; there are: {known[:_SHOWN]}"
        )
