"""Squared norms of sums of outer products, one for each example of a batch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

AT_ONCE = 2**22  # numbers in memory for the examples that are handled together


class Outer(NamedTuple):
    """Part of the gradient of a matrix: the sum over positions of left x right, per example.

    The gradient of y = x W^T is the sum of dL/dy x x; that of an embedding has one-hot vectors on
    its left. Grouped convolutions have several matrices to an example.
    """

    left: Tensor  # (examples * groups, positions, rows), or the indices of one-hot vectors
    right: Tensor  # (examples * groups, positions, columns)
    rows: int
    groups: int = 1

    @property
    def one_hot(self) -> bool:
        """Whether the left side is given by indices."""
        return self.left.ndim == 2

    @property
    def positions(self) -> int:
        """Number of outer products that are summed."""
        return self.right.shape[1]

    def of(self, examples: slice) -> "Outer":
        """The part of some examples."""
        return self._replace(left=self.left[examples], right=self.right[examples])


def squared_norms(parts: Sequence[Outer]) -> Float[Tensor, " examples"]:
    """Squared Frobenius norm of the sum of the parts, for each example.

    Products of positions, which never form a matrix, or the matrices, whichever is less work
    (Goodfellow, arXiv:1510.01799; Li et al., arXiv:2110.05679, section 4).

    Args:
        parts: of one parameter, at least one, with the same groups.
    """
    first = parts[0]
    if len(parts) == 1 and first.positions == 1 and not first.one_hot:
        whole = first.left.square().sum((1, 2)) * first.right.square().sum((1, 2))
    else:
        columns, count = first.right.shape[2], len(first.right)
        positions = sum(part.positions for part in parts)
        dense = sum(part.positions for part in parts if not part.one_hot)
        products = positions**2 * columns + dense**2 * first.rows
        matrices = (dense + 1) * first.rows * columns + positions * columns
        by_products = products < matrices
        size = positions**2 if by_products else first.rows * columns
        step = max(1, AT_ONCE // size)
        measure = _by_products if by_products else _by_matrices
        blocks = [slice(start, start + step) for start in range(0, count, step)]
        whole = torch.cat([measure([part.of(block) for part in parts]) for block in blocks])
    return whole.view(-1, first.groups).sum(1)


def total(parts: Sequence[Outer]) -> Float[Tensor, "groups_rows columns"]:
    """The sum of the parts over all examples."""
    columns = parts[0].right.shape[2]
    whole = parts[0].right.new_zeros(parts[0].groups * parts[0].rows, columns)
    for part in parts:
        if part.one_hot:
            whole.index_add_(0, part.left.flatten(), part.right.flatten(0, 1))
        else:
            left, right = (
                side.unflatten(0, (-1, part.groups)).transpose(0, 1).flatten(1, 2)
                for side in (part.left, part.right)
            )
            whole += (left.mT @ right).flatten(0, 1)
    return whole


def _by_products(parts: Sequence[Outer]) -> Float[Tensor, " matrices"]:
    """Sum over pairs of positions s, t of (left_s . left_t) (right_s . right_t)."""
    norms = parts[0].right.new_zeros(len(parts[0].right))
    for one, other, weight in _pairs(parts):
        right = one.right @ other.right.mT
        norms = norms + weight * (_left_products(one, other) * right).sum((1, 2))
    return norms


def _pairs(parts: Sequence[Outer]) -> Iterator[tuple[Outer, Outer, int]]:
    """Each part with itself and, counted twice, with each later one."""
    for number, one in enumerate(parts):
        yield one, one, 1
        for other in parts[number + 1 :]:
            yield one, other, 2


def _left_products(one: Outer, other: Outer) -> Tensor:
    """Inner products of the left sides of all positions: (matrices, positions, positions)."""
    if one.one_hot and other.one_hot:
        return one.left[:, :, None] == other.left[:, None, :]
    if other.one_hot:
        indices = other.left[:, None, :].expand(-1, one.positions, -1)
        return one.left.gather(2, indices)
    if one.one_hot:
        return _left_products(other, one).mT
    return one.left @ other.left.mT


def _by_matrices(parts: Sequence[Outer]) -> Float[Tensor, " matrices"]:
    """Form the matrix of each example, then its norm."""
    dense = [part.left.mT @ part.right for part in parts if not part.one_hot]
    shape = len(parts[0].right), parts[0].rows, parts[0].right.shape[2]
    whole = sum(dense[1:], dense[0]) if dense else parts[0].right.new_zeros(shape)
    for part in parts:
        if part.one_hot:
            whole.scatter_add_(1, part.left[:, :, None].expand_as(part.right), part.right)
    return torch.linalg.vector_norm(whole.flatten(1), dim=1) ** 2
