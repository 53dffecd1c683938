"""The posterior over data that lie in several processes, a part in each."""

from __future__ import annotations

import torch

from diffnotes.base.errors import UserError
from diffnotes.base.runtime import ProcessGroup
from diffnotes.base.shapes import Num, Tensor, checked
from diffnotes.posterior.exact import Posterior, posterior
from diffnotes.posterior.support import Data

_LEAST = -1e15  # below, float64 cannot tell log-weights that differ by less than 1/8


@checked()
def divided_posterior(
    x: Num[Tensor, "b ..."], sigma: float | Tensor, part: Data, group: ProcessGroup
) -> Posterior:
    """`posterior` of x [b, ...] over all parts of a data set, of which each process of the group has one.

    Every process gives the same x and sigma, and its own points; every process gets the whole posterior.
    Where part k has the sum of weights Z_k, mean m_k and ess e_k, and Z = sum_k Z_k: the mean is
    sum_k (Z_k/Z) m_k, and 1/ess = sum_k (Z_k/Z)^2 / e_k. One mean [b, ...] and two numbers per row and
    process are exchanged, however many points there are.

    Raises UserError as `posterior` does, and for a sigma so small that sums of weights have no logarithm in
    float64 (0 among them): then only distances tell which part has the nearest point.
    """
    own = posterior(x, sigma, part)
    log_z, ess = (torch.zeros(group.size, len(x), dtype=torch.float64, device=x.device) for _ in range(2))
    log_z[group.rank], ess[group.rank] = own.log_z, own.ess
    group.add([log_z, ess])
    if not bool((log_z > _LEAST).all()):
        raise UserError("sigma is too small for a posterior over parts; take a larger one.")
    weight = (log_z - log_z.amax(0)).exp()
    share = weight / weight.sum(0)
    mean = own.mean.double() * share[group.rank].view(-1, *[1] * (x.ndim - 1))
    group.add([mean])
    return Posterior(mean.to(x.dtype), log_z.logsumexp(0), 1 / (share.square() / ess).sum(0))
