"""Gradient statistics against torch's own clipping and slow, obvious references."""

import math

import pytest
import torch

from scaling.gradients import clamped_norm, clip_coefficient, total_norm


def gradients(seed: int = 0, scale: float = 1.0) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=draws) for shape in [(3, 4), (5,), (2, 2, 2)]]


def test_total_norm_of_a_known_vector():
    assert total_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]) == 5.0


def test_total_norm_equals_the_norm_of_all_coordinates_in_a_row():
    parts = gradients()
    together = torch.cat([part.flatten() for part in parts]).double().norm()
    torch.testing.assert_close(total_norm(parts).double(), together, rtol=1e-6, atol=0)


def test_total_norm_of_normal_gradients_is_near_the_root_of_their_number():
    draws = torch.Generator().manual_seed(0)
    parts = [torch.randn(1_000, generator=draws) for _ in range(50)]
    assert total_norm(parts).item() == pytest.approx(50_000**0.5, rel=0.01)  # sd 0.3 %


def test_a_norm_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no tensors"):
        total_norm([])


@pytest.mark.parametrize("clip", [1e-3, 0.1, 1.0, 5.0, 1e6, math.inf])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_the_coefficient_is_what_torch_clips_with(clip, scale):
    parts = gradients(scale=scale)
    clipped = [torch.nn.Parameter(part.clone()) for part in parts]
    for parameter, part in zip(clipped, parts, strict=True):
        parameter.grad = part.clone()
    pre = torch.nn.utils.clip_grad_norm_(clipped, clip)
    norm = total_norm(parts)
    torch.testing.assert_close(norm, pre, rtol=1e-6, atol=0)
    post = total_norm([parameter.grad for parameter in clipped])
    torch.testing.assert_close(norm * clip_coefficient(norm, clip), post, rtol=1e-5, atol=0)


def test_the_coefficient_without_clipping_is_exactly_one():
    assert clip_coefficient(torch.tensor(7.0), math.inf) == 1.0


def test_the_coefficient_of_a_norm_that_is_no_number_is_no_number():
    for strange in (math.inf, math.nan):
        assert clip_coefficient(torch.tensor(strange), 1.0).isnan()


def test_clamped_norm_is_what_torch_leaves_after_clipping_by_value():
    parts = gradients()
    clipped = [torch.nn.Parameter(part.clone()) for part in parts]
    for parameter, part in zip(clipped, parts, strict=True):
        parameter.grad = part.clone()
    torch.nn.utils.clip_grad_value_(clipped, 0.5)
    post = total_norm([parameter.grad for parameter in clipped])
    assert clamped_norm(parts, 0.5) == post
