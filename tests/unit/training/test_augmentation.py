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


def test_strength_is_how_much_all_but_the_flip_changes(two_set_data: DataSet) -> None:
    images = batch_of(two_set_data, np.arange(16))
    still = augment(images, -1.0, 1.0, torch.Generator().manual_seed(4), 0.0)
    flipped = images.flip(3)
    for changed, image, mirrored in zip(still, images, flipped, strict=True):
        assert min(float((changed - one).abs().max()) for one in (image, mirrored)) < 1e-5
    half, full = (
        float(
            (augment(images, -1.0, 1.0, torch.Generator().manual_seed(4), s) - still).abs().mean()
        )
        for s in (0.5, 1.0)
    )
    assert 0 < half < full


def test_what_moves_in_is_black() -> None:
    white = torch.full((8, 1, 32, 32), 3.0)
    changed = augment(white, 1.0, 3.0, torch.Generator().manual_seed(1))
    assert float(changed.min()) < 1.3
    assert float(changed.min()) >= 1
    assert float(changed[:, :, 16, 16].min()) > 2
