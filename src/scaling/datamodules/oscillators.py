"""Classes of Gaussian time series with known densities, and the best accuracy on them.

A series of class c is a stationary vector autoregression of order 2 around a level,

    x_t = m_c + o + M s_t,   s_tj = a_cj s_{t-1,j} + b_cj s_{t-2,j} + e_tj,

with an offset o drawn for each series, an orthogonal M that all classes share, and white noise e
whose variance gives every channel s_j a variance of 1. With poles r exp(+-i w) a channel oscillates
at frequency w: a = 2 r cos w and b = -r^2.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor


class Oscillators(NamedTuple):
    """The parameters of several classes."""

    means: Float[Tensor, "classes features"]
    first: Float[Tensor, "classes features"]  # coefficients a of the channels
    second: Float[Tensor, "classes features"]  # coefficients b of the channels
    mixing: Float[Tensor, "features features"]  # M, orthogonal, from channels to features
    offset: float  # standard deviation of o

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
        """Draw a series for each label, starting in the stationary distribution."""
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
        """The exact log density of each class, up to a constant that all classes share.

        Channels are independent. Each is whitened in time (chain rule: the first two values, then
        each value given the two before it), and the offset is integrated out with the
        Sherman-Morrison formula.
        """
        channels = windows @ self.mixing
        ones = torch.ones_like(channels[:1])
        means = self.means @ self.mixing
        densities = []
        for c in range(len(means)):
            white, one = self._white(channels - means[c], c), self._white(ones, c)
            size = 1 + self.offset**2 * one.square().sum(1)
            spread = white.square().sum(1) - self.offset**2 * (white * one).sum(1).square() / size
            logs = (1 - self.lag[c] ** 2).log() + (windows.shape[1] - 2) * self.noise[c].log()
            densities.append(-(spread + size.log() + logs).sum(1) / 2)
        return torch.stack(densities, dim=1)

    def _white(
        self, channels: Float[Tensor, "n length features"], c: int
    ) -> Float[Tensor, "n length features"]:
        """Whiten channels: if they are of class c, the results are independent of variance 1."""
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
    """Draw classes at random.

    The frequencies of the channels are spread evenly over (0, pi). That of the first channel
    differs between classes, evenly spaced around pi / 2; the others are the same in all classes.

    Args:
        classes: number of classes.
        features: number of channels and of features.
        separation: standard deviation, over classes, of the mean of a feature.
        detuning: distance between neighbouring frequencies of the first channel, in radians per
            step.
        modulus: r of all poles; an oscillation decays to 1 / e in 1 / -log(r) steps.
        offset: standard deviation of the offset of each feature.
        draws: random number generator.
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
    """Estimate the Bayes accuracy, which no classifier exceeds, and its standard error.

    It is E[max_c p(c | x)], estimated as a mean over windows drawn from the mixture. It is
    invariant under an invertible map of the features that all classes share.

    Args:
        model: the classes.
        shares: share of each class in the mixture.
        length: time steps of a window.
        windows: number of windows to draw.
        draws: random number generator.
    """
    labels = torch.multinomial(shares, windows, replacement=True, generator=draws)
    joint = model.log_densities(model.draw(labels, length, draws)) + shares.log()
    largest = joint.softmax(dim=1).amax(dim=1).double()
    return largest.mean().item(), (largest.std() / windows**0.5).item()
