"""A last layer fitted to features that stay as they are.

Fine-tuning that begins with a random last layer first distorts what the other layers know; one
that begins with a fitted layer does not (Kumar and others, "Fine-tuning can distort pretrained
features and underperform out-of-distribution", 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from preread.training.measuring import features_of, labels_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preread.training.data_set import DataSet
    from preread.training.network import Network
    from preread.training.objective import Objective

PENALTY: Final = 0.05
"""Factor of the mean square of the weights, per output, in units of standardised features."""
_STEPS: Final = 200


def fit_last_layer(
    network: Network,
    data: DataSet,
    training: NDArray[np.int64],
    objective: Objective,
    device: torch.device,
) -> float:
    """Fit the last layer by the whole training part at once (L-BFGS), in place.

    Parameters
    ----------
    network
        Whose backbone stays.
    data, training
        The images that are fitted on.
    objective
        What is made small.
    device
        Where it runs.

    Returns
    -------
    float
        The loss at the end, without the penalty.
    """
    features = features_of(network.backbone, data, training, device)
    labels = labels_of(data)[torch.from_numpy(training)].to(device)
    deviation, mean = torch.std_mean(features, dim=0)
    deviation = deviation + 1e-3 * deviation.mean()
    standard = (features - mean) / deviation
    weight = torch.zeros_like(network.head.weight, device=device, requires_grad=True)
    bias = torch.zeros_like(network.head.bias, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        return objective.labelled(standard @ weight.T + bias, labels)

    def closure() -> float:
        optimizer.zero_grad()
        total = loss() + PENALTY * weight.square().sum(dim=1).mean()
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return float(total.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    with torch.no_grad():
        found = float(loss())
        network.head.weight.copy_(weight / deviation)
        network.head.bias.copy_(bias - (weight / deviation) @ mean)
    return found
