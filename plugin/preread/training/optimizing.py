"""What moves a network's weights: the optimizer, its rate, and the average of where they were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from preread.training.plan import Optimizer

if TYPE_CHECKING:
    from torch import nn

    from preread.training.network import Network
    from preread.training.plan import Plan

_WARMING: Final = 0.1  # share of the steps over which AdamW's rate rises
_LEAST_RATE: Final = 0.01  # what the cosine ends at, of the highest


def optimizer_of(modules: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Make a plan's optimizer: weights decay; biases, scales and shifts do not."""
    groups = [
        {
            "params": [p for p in modules.parameters() if p.ndim > 1],
            "weight_decay": plan.weight_decay,
        },
        {"params": [p for p in modules.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.SGD if plan.optimizer is Optimizer.SGD else torch.optim.AdamW
    return kind(groups, lr=plan.learning_rate)


def set_rate(optimizer: torch.optim.Optimizer, plan: Plan, epochs: float) -> None:
    """Set the learning rate for a moment given in epochs that have passed; that of SGD stays."""
    if plan.optimizer is Optimizer.SGD:
        return
    passed = epochs / plan.epochs
    if passed < _WARMING:
        factor = 0.02 + 0.98 * passed / _WARMING
    else:
        turn = math.cos(math.pi * (passed - _WARMING) / (1 - _WARMING))
        factor = _LEAST_RATE + (1 - _LEAST_RATE) * 0.5 * (1 + turn)
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate * factor


def average_of(network: Network, plan: Plan) -> AveragedModel | None:
    """Make what averages a network's weights over the steps; None if the plan wants none."""
    if not plan.averaging:
        return None
    average = get_ema_multi_avg_fn(plan.averaging)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return AveragedModel(network, multi_avg_fn=average)
