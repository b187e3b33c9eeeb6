"""Classes of Gaussian time series whose densities are known, and the best that can be made of them.

Within a class c a series is a level and a stationary vector autoregression of order 2 around it,

    x_t = m_c + o + M s_t,   s_tj = a_cj s_{t-1,j} + b_cj s_{t-2,j} + e_tj,

with an offset o that is drawn for each series, M orthogonal and the same for all classes, and e
white noise whose variance gives every channel s_j a variance of 1. With poles r exp(+-i w) a
channel oscillates at frequency w: a = 2 r cos w and b = -r^2.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor


class Oscillators(NamedTuple):
    """Series of several classes."""

    means: Float[Tensor, "classes features"]
    first: Float[Tensor, "classes features"]  # coefficients a of the channels
    second: Float[Tensor, "classes features"]  # and b
    mixing: Float[Tensor, "features features"]  # orthogonal; from channels to features
    offset: float  # standard deviation of what a window's level adds to each feature

    @property
    def lag(self) -> Float[Tensor, "classes features"]:
        """Correlation of successive values of a channel, a / (1 - b)."""
        return self.first / (1 - self.second)

    @property
    def noise(self) -> Float[Tensor, "classes features"]:
        """Variance of the noise of each step, (1 - b^2) (1 - lag^2)."""
        return (1 - self.second**2) * (1 - self.lag**2)

    def draw(
        self, labels: Integer[Tensor, " n"], length: int, draws: torch.Generator
    ) -> Float[Tensor, "n length features"]:
        """A series of each label, from its stationary distribution on."""
        offset, *white = torch.randn(length + 1, *self.means[labels].shape, generator=draws)
        first, second, lag = self.first[labels], self.second[labels], self.lag[labels]
        scale = self.noise[labels].sqrt()
        series = [white[0]]
        for noise in white[1:]:
            if len(series) == 1:
                series.append(lag * series[0] + (1 - lag**2).sqrt() * noise)
            else:
                series.append(first * series[-1] + second * series[-2] + scale * noise)
        around = (self.means[labels] + self.offset * offset)[:, None]
        return torch.stack(series, dim=1) @ self.mixing.T + around

    def log_densities(
        self, windows: Float[Tensor, "n length features"]
    ) -> Float[Tensor, "n classes"]:
        """The log of each class's density, exactly, up to a constant that all classes share.

        In channels everything is independent. Each is whitened in time (the chain rule: two values
        at the start, then a step given the two before it), and the offset is integrated out by the
        Sherman-Morrison formula.
        """
        channels = windows @ self.mixing
        ones = torch.ones_like(channels[:1])
        means = self.means @ self.mixing
        found = []
        for c in range(len(means)):
            white, one = self._white(channels - means[c], c), self._white(ones, c)
            size = 1 + self.offset**2 * one.square().sum(1)
            spread = white.square().sum(1) - self.offset**2 * (white * one).sum(1).square() / size
            logs = (1 - self.lag[c] ** 2).log() + (windows.shape[1] - 2) * self.noise[c].log()
            found.append(-(spread + size.log() + logs).sum(1) / 2)
        return torch.stack(found, dim=1)

    def _white(
        self, channels: Float[Tensor, "n length features"], c: int
    ) -> Float[Tensor, "n length features"]:
        """Independent values of variance 1, if the channels are those of class c."""
        lag = self.lag[c]
        begin = (channels[:, 1:2] - lag * channels[:, :1]) / (1 - lag**2).sqrt()
        past = self.first[c] * channels[:, 1:-1] + self.second[c] * channels[:, :-2]
        return torch.cat(
            [channels[:, :1], begin, (channels[:, 2:] - past) / self.noise[c].sqrt()], dim=1
        )


def oscillators(
    classes: int,
    features: int,
    *,
    separation: float,
    detuning: float,
    modulus: float,
    offset: float,
    draws: torch.Generator,
) -> Oscillators:
    """Classes drawn at random.

    The frequencies of the channels are spread evenly over (0, pi). The first channel has another
    one in each class, evenly spaced around pi / 2; the others are alike in all classes.

    Args:
        classes: number of classes.
        features: number of channels and of features.
        separation: standard deviation, over classes, of the mean of a feature.
        detuning: between neighbouring frequencies of the first channel, in radians per step.
        modulus: r of all poles; an oscillation fades to 1 / e within 1 / -log(r) steps.
        offset: standard deviation of what a window's level adds to each feature.
        draws: where random numbers come from.
    """
    means = separation * torch.randn(classes, features, generator=draws)
    mixing, _ = torch.linalg.qr(torch.randn(features, features, generator=draws))
    frequencies = (math.pi * (torch.arange(features) + 0.5) / features).repeat(classes, 1)
    ranks = torch.randperm(classes, generator=draws) - (classes - 1) / 2
    frequencies[:, 0] = math.pi / 2 + detuning * ranks
    first = 2 * modulus * frequencies.cos()
    return Oscillators(means, first, torch.full_like(first, -(modulus**2)), mixing, offset)


def best_accuracy(
    model: Oscillators,
    shares: Float[Tensor, " classes"],
    length: int,
    windows: int,
    draws: torch.Generator,
) -> tuple[float, float]:
    """The accuracy that no classifier exceeds, and the standard error of this estimate.

    It is E[max_c p(c | x)], the expectation of the largest posterior probability; here its mean
    over windows drawn from the mixture. An invertible map of the features that all classes share
    leaves it as it is.

    Args:
        model: the classes.
        shares: of the classes in the mixture.
        length: of the windows.
        windows: number of them that are drawn.
        draws: where random numbers come from.
    """
    labels = torch.multinomial(shares, windows, replacement=True, generator=draws)
    joint = model.log_densities(model.draw(labels, length, draws)) + shares.log()
    largest = joint.softmax(dim=1).amax(dim=1).double()
    return largest.mean().item(), (largest.std() / windows**0.5).item()
