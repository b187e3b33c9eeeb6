"""Gradient statistics against torch's own clipping and slow, obvious references."""

import math

import pytest
import torch

from scaling.gradients.norms import (
    clamped_norm,
    clip_coefficient,
    cosine,
    layer_norms,
    layer_spread,
    total_norm,
)


def gradients(seed: int = 0, scale: float = 1.0) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=draws) for shape in [(3, 4), (5,), (2, 2, 2)]]


def test_total_norm_of_a_known_vector():
    assert total_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]) == 5.0


def test_total_norm_equals_the_norm_of_all_coordinates_together():
    parts = gradients()
    together = torch.cat([part.flatten() for part in parts]).double().norm()
    torch.testing.assert_close(total_norm(parts).double(), together, rtol=1e-6, atol=0)


def test_total_norm_of_normal_gradients_is_near_the_root_of_their_number():
    draws = torch.Generator().manual_seed(0)
    parts = [torch.randn(1_000, generator=draws) for _ in range(50)]
    assert total_norm(parts).item() == pytest.approx(50_000**0.5, rel=0.01)  # sd 0.3 %


def test_a_norm_of_no_tensors_is_refused():
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


def test_the_coefficient_of_a_nan_norm_is_nan():
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


def test_moments_of_known_tensors():
    tensors = [torch.tensor([1.0, 3.0]), torch.full((2, 2), 5.0)]
    means, variances = layer_spread(tensors, layer_norms(tensors))
    assert layer_norms(tensors).tolist() == pytest.approx([10**0.5, 10.0])
    assert means.tolist() == [2.0, 5.0]
    assert variances.tolist() == pytest.approx([1.0, 0.0])


def test_moments_equal_those_taken_one_tensor_at_a_time():
    parts = gradients()
    norms = layer_norms(parts)
    means, variances = layer_spread(parts, norms)
    for i, part in enumerate(parts):
        whole = part.double()
        assert norms[i].item() == pytest.approx(whole.norm().item(), rel=1e-6)
        assert means[i].item() == pytest.approx(whole.mean().item(), rel=1e-5, abs=1e-8)
        assert variances[i].item() == pytest.approx(whole.var(correction=0).item(), rel=1e-5)


def test_a_small_variance_beside_a_large_mean_stays_positive():
    draws = torch.Generator().manual_seed(0)
    far = 1e3 + 1e-2 * torch.randn(10_000, generator=draws)
    naive = (far**2).mean() - far.mean() ** 2
    _, variance = layer_spread([far], layer_norms([far]))
    assert variance.item() == pytest.approx(far.double().var(correction=0).item(), rel=0.01)
    assert abs(naive.item() - 1e-4) > 1e-3  # what the one-pass form would have given


def test_the_variance_of_normal_coordinates_is_correct():
    draws = torch.Generator().manual_seed(0)
    normal = [2 * torch.randn(100_000, generator=draws)]
    means, variances = layer_spread(normal, layer_norms(normal))
    assert means.item() == pytest.approx(0, abs=0.03)
    assert variances.item() == pytest.approx(4, rel=0.03)


def test_variances_are_exact_for_any_mean():
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(10_000, generator=draws)
    tensors = [noise + far for far in (0.0, 0.5, 0.99, 1.0, 1.01, 10.0, 1e3)]
    _, variances = layer_spread(tensors, layer_norms(tensors))
    for tensor, variance in zip(tensors, variances, strict=True):
        assert variance.item() == pytest.approx(tensor.double().var(correction=0).item(), rel=1e-5)


def test_a_constant_gradient_and_a_single_coordinate_have_no_variance():
    tensors = [torch.full((1000,), 0.1), torch.tensor([-3.0]), torch.zeros(5)]
    _, variances = layer_spread(tensors, layer_norms(tensors))
    assert (variances >= 0).all()
    assert variances[0].item() < 1e-14
    assert variances[1:].tolist() == [0.0, 0.0]


def test_norms_of_no_tensors_are_refused():
    with pytest.raises(ValueError, match="no tensors"):
        layer_norms([])


def test_the_cosine_of_known_gradients():
    right, up = (
        [torch.tensor([1.0]), torch.tensor([0.0])],
        [torch.tensor([0.0]), torch.tensor([2.0])],
    )
    assert cosine(right, up) == 0
    diagonal = [torch.tensor([3.0]), torch.tensor([3.0])]
    assert cosine(right, diagonal).item() == pytest.approx(0.5**0.5)
    parts = gradients()
    assert cosine(parts, [-1e-20 * part for part in parts]).item() == pytest.approx(-1)


def test_the_cosine_equals_that_of_all_coordinates_together():
    a, b = gradients(1), gradients(2, scale=1e3)
    rows = [torch.cat([part.flatten() for part in each]).double() for each in (a, b)]
    slow = torch.nn.functional.cosine_similarity(*rows, dim=0)
    assert cosine(a, b).item() == pytest.approx(slow.item(), abs=1e-6)


def test_random_directions_are_orthogonal_up_to_one_over_the_root_of_their_number():
    draws = torch.Generator().manual_seed(0)
    pairs = [[[torch.randn(400, generator=draws)] for _ in range(2)] for _ in range(500)]
    found = torch.stack([cosine(a, b) for a, b in pairs])
    assert found.std().item() == pytest.approx(1 / 20, rel=0.13)  # 4 sd of a standard deviation


def test_a_cosine_with_a_zero_vector_is_nan_and_of_other_parameters_refused():
    assert cosine([torch.ones(2)], [torch.zeros(2)]).isnan()
    with pytest.raises(ValueError, match="of the same parameters"):
        cosine([torch.ones(2)], [torch.ones(3)])
    with pytest.raises(ValueError, match="no tensors"):
        cosine([], [])
