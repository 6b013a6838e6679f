"""What a fit makes small: how far the answers are from the labels, and from a teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from preread.training.network import outputs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.training.data_set import LabelSet

TEMPERATURE: Final = 2.0
"""By which logits of teacher and student are divided before they are compared."""


class Objective(nn.Module):
    """The loss over all sets.

    An image counts in the sets that it is in. A teacher's answers count in every set, since it
    has one for each image.

    Parameters
    ----------
    sets
        Of the data.
    training
        Indices of the images that are fitted on; class weights come from their counts.
    balanced, smoothing, distillation
        As in `preread.training.plan.Plan`.
    """

    def __init__(
        self,
        sets: Sequence[LabelSet],
        training: NDArray[np.int64],
        *,
        balanced: bool,
        smoothing: float,
        distillation: float,
    ) -> None:
        super().__init__()
        self._outputs = outputs_of(sets)
        self._smoothing, self._distillation = smoothing, distillation
        for number, one in enumerate(sets):
            weights = _class_weights(one, training, balanced=balanced)
            self.register_buffer(f"weights{number}", weights, persistent=False)

    def labelled(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Give the cross-entropy with the labels (N, sets), -1 where an image is not in a set."""
        total = logits.new_zeros(())
        for number, outputs in enumerate(self._outputs):
            inside = labels[:, number] >= 0
            if inside.any():
                total = total + inside.float().mean() * functional.cross_entropy(
                    logits[inside, outputs],
                    labels[inside, number],
                    weight=self.get_buffer(f"weights{number}"),
                    label_smoothing=self._smoothing,
                )
        return total

    def taught(
        self, logits: Tensor, labels: Tensor, features: Tensor, teacher: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Give the loss when there is a teacher.

        Parameters
        ----------
        logits, labels
            As in `labelled`.
        features
            The student's, brought to the width of the teacher's.
        teacher
            Logits and features. Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
            network", 2015, for the logits; features by their cosine.
        """
        told, shown = teacher
        answers = logits.new_zeros(())
        for outputs in self._outputs:
            answers = answers + functional.kl_div(
                functional.log_softmax(logits[:, outputs] / TEMPERATURE, dim=1),
                functional.log_softmax(told[:, outputs] / TEMPERATURE, dim=1),
                reduction="batchmean",
                log_target=True,
            )
        answers = answers * TEMPERATURE**2 / len(self._outputs)
        unlike = 1 - functional.cosine_similarity(features, shown, dim=1).mean()
        share = self._distillation
        return (1 - share) * self.labelled(logits, labels) + share * (answers + 2 * unlike)


def _class_weights(one: LabelSet, training: NDArray[np.int64], *, balanced: bool) -> Tensor:
    labels = one.labels[training]
    counts = np.bincount(labels[labels >= 0], minlength=len(one.classes))
    weights = counts.sum() / (len(counts) * counts) if balanced else np.ones(len(counts))
    return torch.tensor(weights, dtype=torch.float32)
