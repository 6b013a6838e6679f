from __future__ import annotations

import numpy as np
import torch

from preread.training.augmentation import augment
from preread.training.data_set import DataSet
from preread.training.measuring import batch_of


def test_is_light_seeded_and_within_range(two_set_data: DataSet) -> None:
    images = batch_of(two_set_data, np.arange(16))
    one, two = (augment(images, -1.0, 1.0, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == images.shape
    assert float(one.min()) >= -1
    assert float(one.max()) <= 1
    changed = (one - images).abs().mean()
    assert 0.02 < changed < 0.6
    assert not torch.equal(one[0], augment(images, -1.0, 1.0, torch.Generator())[0])


def test_no_strength_changes_nothing(two_set_data: DataSet) -> None:
    images = batch_of(two_set_data, np.arange(16))
    still = augment(images, -1.0, 1.0, torch.Generator().manual_seed(4), 0.0)
    assert float((still - images).abs().max()) < 1e-5


def test_strength_is_how_much_changes_and_how_often_images_are_flipped() -> None:
    # Black on the one side and white on the other: a flip shows whatever else changes.
    images = torch.full((400, 1, 16, 16), -1.0)
    images[..., 8:] = 1.0
    flipped, moved = [], []
    for strength in (0.2, 1.0):
        changed = augment(images, -1.0, 1.0, torch.Generator().manual_seed(4), strength)
        turned = changed[:, 0, 8, 4] > changed[:, 0, 8, 11]
        flipped.append(float(turned.float().mean()))
        moved.append(float((changed - images)[~turned].abs().mean()))
    assert 0.05 < flipped[0] < 0.16
    assert 0.4 < flipped[1] < 0.6
    assert 0 < moved[0] < moved[1]


def test_what_moves_in_is_black() -> None:
    white = torch.full((8, 1, 32, 32), 3.0)
    changed = augment(white, 1.0, 3.0, torch.Generator().manual_seed(1))
    assert float(changed.min()) < 1.3
    assert float(changed.min()) >= 1
    assert float(changed[:, :, 16, 16].min()) > 2
