"""What the detector's network sees of a picture: the same of every ground, nothing beyond the picture."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from nii_edge.learn.network import Front, Variant

VARIANTS: tuple[Variant, ...] = get_args(Variant)
INSIDE = 48


def picture(ground: tuple[float, float, float]) -> torch.Tensor:
    """(1, 3, 64, 64): orange and blue things on a ground, and nothing to the right of `INSIDE`."""
    shown = torch.ones(1, 3, 64, 64)
    shown[:, :, 20:40, 8:20] = torch.tensor([0.9, 0.6, 0.2])[:, None, None]
    shown[:, :, 20:40, 26:40] = torch.tensor([0.1, 0.2, 0.7])[:, None, None]
    shown = shown * torch.tensor(ground)[:, None, None]
    shown[:, :, :, INSIDE:] = -1.0
    return shown


@pytest.mark.parametrize("variant", VARIANTS)
def test_planes_are_those_the_network_takes(variant: Variant) -> None:
    """Three from -1 to 1 for ImageNet's features, white beyond the picture; five, empty there, for others."""
    seen = Front(variant).eval()(picture((1.0, 1.0, 1.0)))
    photograph = variant.startswith("imagenet")
    assert seen.shape == (1, 3 if photograph else Front.planes, 64, 64)
    assert torch.isfinite(seen).all()
    beyond = seen[:, :, :, INSIDE:]
    assert torch.equal(beyond, torch.full_like(beyond, 1.0 if photograph else 0.0))
    if photograph:
        assert seen.min() >= -1
        assert seen.max() <= 1
    assert seen[:, :, :, :INSIDE].std() > 0.05


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_colours_as_they_are_depend_on_the_ground(variant: Variant) -> None:
    """A bluish screen shows the same things to all others."""
    plain, bluish = (Front(variant).eval()(picture(ground)) for ground in ((1.0, 1.0, 1.0), (0.7, 0.75, 0.9)))
    same = torch.allclose(plain, bluish, atol=0.02)
    assert same == (not variant.endswith("rgb"))


@pytest.mark.parametrize("variant", ["imagenet-grey", "grey"])
def test_grey_has_no_hue(variant: Variant) -> None:
    """Colours of the same brightness look the same."""
    one, other = picture((1.0, 1.0, 1.0)), picture((1.0, 1.0, 1.0))
    one[:, :, 20:40, 8:20] = torch.tensor([0.6, 0.3, 0.3])[:, None, None]
    other[:, :, 20:40, 8:20] = torch.tensor([0.3, 0.6, 0.3])[:, None, None]
    front = Front(variant).eval()
    assert torch.allclose(front(one), front(other), atol=1e-5)
