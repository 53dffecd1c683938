"""What chapter 4 shows of its study of estimators: every number of a figure, table or claim is read here.

Corrections C are in units of N/L, as the paper's rule is; biases in units of the data variance, or relative
to the optimal loss where it says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy import ndarray as Array

from diffnotes.chapters.loss_floor.readings import near, sharp, sums_up
from diffnotes.show.labels import dataset
from diffnotes.store import Record

# What the authors say (Xu et al., arXiv 2506.13763).
PAPER_RULE = 4.0  # the recommended C in units of N/L; section on the corrected estimator
PAPER_LEVEL = 1.25  # ln sigma of figure 1(c), which is about CIFAR-10; its caption
# Ours.
MIDDLE = 16  # the N/L that most figures show
AGAIN = 1000  # how often repeats are drawn again for an interval
WIDE = 16.0  # the C in units of N/L whose scatter is compared with that of DOL
AROUND = 2.0  # C is changed by this factor either way around the paper's rule
EDGE = 0.99  # a best C above this part of the largest that was tried is a lower bound


@dataclass(frozen=True)
class Estimate:
    """An estimator's bias at every level and its standard error, in units of the data variance."""

    word: str
    bias: Array
    error: Array

    @property
    def worst(self) -> float:
        return float(np.abs(self.bias).max())


@dataclass(frozen=True)
class Area:
    """The area of DOL with L points beside ln L, and that of cDOL with the paper's rule beside ln N."""

    size: int
    dol: float
    dol_error: float
    cdol: float
    cdol_error: float
    entropy: float  # ln N

    @property
    def expected(self) -> float:
        return math.log(self.size)

    @property
    def holds(self) -> bool:
        return sums_up(self.dol, self.dol_error, self.expected)

    @property
    def precise(self) -> bool:
        return sharp(self.dol_error, self.expected)


@dataclass(frozen=True)
class Best:
    """The best C in units of N/L at every N/L by one measure, and where it may lie beyond all tried."""

    word: str
    value: Array
    capped: Array

    def within(self) -> Array:
        """At which N/L it is within a factor 2 of the paper's rule. A lower bound beyond that is not."""
        return near(self.value, PAPER_RULE)

    def texts(self) -> list[str]:
        """'4.8', '102', '≥ 1,024'."""
        pairs = zip(self.value, self.capped, strict=True)
        return [
            f"≥ {best:,.0f}" if capped else f"{best:.0f}" if best >= 10 else f"{best:.1f}"
            for best, capped in pairs
        ]


class Study:
    """A record of `loss_estimators`."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.dataset, self.n = dataset(record), int(record["n"])
        self.variance = float(record["variance"])
        self.ratios: list[int] = [int(ratio) for ratio in record["ratios"]]
        self.sizes: list[int] = [int(size) for size in record["sizes"]]
        self.sigma: Array = record["sigma"]
        self.multiples: Array = record["multiples"]  # 0 stands for DOL, infinity for SNIS
        self.tried: Array = record["multiples"][1:-1]
        self.plain = _nearest(self.multiples, PAPER_RULE)
        self.middle = self.ratios.index(MIDDLE) if MIDDLE in self.ratios else len(self.ratios) - 1

    @property
    def name(self) -> str:
        return f"{self.dataset}, N = {self.n:,}"

    def _reading(self, label: str = "AB") -> int:
        return list(self.record["readings"]).index(label)

    @property
    def truth(self) -> Array:
        """The optimal loss with all points on the same draws, [l]."""
        found: Array = self.record["full_mean"][self._reading()]
        return found

    @property
    def level(self) -> int:
        """The place of ln sigma = 1.25; for digits, of the level where the optimum is nearest to the same 6 %
        of the variance.
        """
        if self.record.spec.get("dataset") == "digits":
            return _nearest(self.truth / self.variance, 0.06)
        return _nearest(np.log(self.sigma), PAPER_LEVEL)

    @property
    def grid_level(self) -> int:
        """Its place on the grid of the areas, which is that of shared subsets."""
        return _nearest(self.record["grid"], self.sigma[self.level])

    def estimates(self, k: int) -> list[Estimate]:
        """DOL, cDOL by the paper's rule, SNIS, and neighbours with a tail where these were tried, at ratio
        number k.
        """
        words = {0: "DOL", self.plain: f"cDOL, C = {PAPER_RULE:g} N/L", -1: "SNIS"}
        ab, unit = self._reading(), self.variance
        mean, error = (self.record[f"bias_{part}"][k, :, ab] / unit for part in ("mean", "stderr"))
        found = [Estimate(word, mean[place], error[place]) for place, word in words.items()]
        near = [int(ratio) for ratio in self.record["near_ratios"]]
        if self.ratios[k] in near:
            place = near.index(self.ratios[k])
            pair = (self.record[f"near_{part}"][place, ab] / unit for part in ("mean", "stderr"))
            found.append(Estimate("L/2 neighbours and a tail", *pair))
        return found

    def worst(self) -> tuple[Array, Array]:
        """Largest |bias| over levels of DOL, cDOL and SNIS as parts of the variance, [ratios, 3], and the
        jackknife errors of DOL - cDOL and SNIS - cDOL, [ratios, 2].
        """
        bias = self.record["bias_repeats"][:, :, [0, self.plain, -1]] / self.variance
        left_out = np.abs((bias.sum(0) - bias) / (len(bias) - 1)).max(-1)
        apart = left_out[:, :, [0, 2]] - left_out[:, :, [1]]
        return np.abs(bias.mean(0)).max(-1), np.sqrt((len(bias) - 1) * apart.var(0))

    def lower(self) -> Array:
        """At which ratios the worst bias of cDOL is below both others by more than 2 standard errors."""
        worst, error = self.worst()
        found: Array = (worst[:, [0, 2]] - worst[:, [1]] > 2 * error).all(1)
        return found

    def around(self) -> tuple[Array, Array]:
        """Largest |bias| over levels as parts of the variance: with the paper's C, with C below and above it
        by a factor AROUND, [ratios, 3]; and of DOL and SNIS, [ratios, 2].
        """
        worst = np.abs(self.record["bias_repeats"].mean(0)).max(-1) / self.variance
        steps = (1.0, 1 / AROUND, AROUND)
        return worst[:, [_nearest(self.multiples, PAPER_RULE * step) for step in steps]], worst[:, [0, -1]]

    def sides(self) -> tuple[Array, Array]:
        """Shares of the levels at which DOL is below the optimal loss by more than 2 standard errors, and
        above it by as much, [ratios] each.
        """
        mean, error = (self.record[f"bias_{part}"][:, 0, self._reading()] for part in ("mean", "stderr"))
        return (mean < -2 * error).mean(-1), (mean > 2 * error).mean(-1)

    def backward(self) -> Array:
        """The largest step away from SNIS from any C to the next, from DOL's on, over all levels: beyond 3
        standard errors, paired over repeats, as a part of the variance, [ratios].
        """
        bias = self.record["bias_repeats"]
        ends = bias.mean(0)[:, [0, -1]]
        steps = np.diff(bias, axis=2) * np.sign(ends[:, [1]] - ends[:, [0]])
        error = steps.std(0, ddof=1) / math.sqrt(len(steps))
        found: Array = -(steps.mean(0) + 3 * error).min((1, 2)) / self.variance
        return found.clip(0)

    def way(self) -> Array:
        """The part of the way from DOL to SNIS that the largest C tried has gone, [ratios, levels]."""
        dol, last, snis = (self.record["bias_repeats"].mean(0)[:, place] for place in (0, -2, -1))
        found: Array = (last - dol) / np.where(snis == dol, np.inf, snis - dol)
        return found

    def unsettled(self) -> dict[str, Array]:
        """At the smallest level, standard deviations over repeats of SNIS over those of DOL, [ratios]: with A
        from the same draws, and with A over all data.
        """
        scatter = self.record["fresh_sd"][..., 0][:, [0, -1]]
        words = {"same draws": "AB", "all data": "A-B"}
        places = {word: self._reading(label) for word, label in words.items()}
        return {word: scatter[:, 1, place] / scatter[:, 0, place] for word, place in places.items()}

    def snis_at_least(self) -> Array:
        """The bias of SNIS at the smallest level, as a part of the variance, [ratios]."""
        return np.asarray(self.record["bias_mean"][:, -1, self._reading(), 0] / self.variance)

    def worst_level(self, place: int = 0) -> Array:
        """The place of the level at which an estimator (DOL) is most biased, for each ratio."""
        return np.abs(self.record["bias_repeats"].mean(0)[:, place]).argmax(-1)

    # ------------------------------------------------------------------------------------ which correction

    def relative_bias(self) -> tuple[Array, Array]:
        """Bias over the optimal loss at `level`, and its error, for each C that was tried: [ratios, C]."""
        ab, level = self._reading(), self.level
        mean, error = (self.record[f"bias_{part}"][:, 1:-1, ab, level] for part in ("mean", "stderr"))
        return mean / self.truth[level], error / self.truth[level]

    def crossing(self) -> Best:
        """The C at which the bias at `level` is zero, as in the paper's figure."""
        found = self._zeros(self.relative_bias()[0])
        return Best(f"zero bias at σ = {self.sigma[self.level]:.2f}", *found)

    def crossing_interval(self) -> tuple[Array, Array]:
        """Where the bias plus and less 2 standard errors is zero, or the largest C tried."""
        bias, error = self.relative_bias()
        return self._zeros(bias + 2 * error)[0], self._zeros(bias - 2 * error)[0]

    def _zeros(self, biases: Array) -> tuple[Array, Array]:
        """Where each bias [ratios, C] is zero, and whether that may be beyond the largest C."""
        found, capped = [], []
        for bias in biases:
            up = (bias[:-1] < 0) & (bias[1:] >= 0)
            end = -1 if bias[-1] < 0 else 0  # where the bias has one sign at every C
            found.append(self._zero(bias, int(up.argmax())) if up.any() else self.tried[end])
            capped.append(not up.any() and end == -1)
        return np.array(found), np.array(capped)

    def _zero(self, bias: Array, at: int) -> float:
        part = -bias[at] / (bias[at + 1] - bias[at])
        return float(np.exp(np.log(self.tried[at]) + part * np.log(self.tried[at + 1] / self.tried[at])))

    def relative(self) -> Best:
        """The C with the least RMS relative bias over the levels that count."""
        best: Array = self.record["best"]
        return Best("least RMS relative bias", best, best > EDGE * self.tried[-1])

    def relative_interval(self) -> tuple[Array, Array]:
        """Its 90 % interval over repeats drawn again."""
        return self.record["best_low"], self.record["best_high"]

    def absolute(self) -> Best:
        """The C with the least RMS bias over the same levels; of those that were tried."""
        bias = self.record["bias_repeats"].mean(0)[:, 1:-1, self.record["counts"]]
        at = np.square(bias).mean(-1).argmin(1)
        return Best("least RMS bias", self.tried[at], at == len(self.tried) - 1)

    def criteria(self) -> tuple[Best, Best, Best]:
        """The three ways to say which C is best, the paper's own first."""
        return self.crossing(), self.relative(), self.absolute()

    def growth(self) -> tuple[float, bool]:
        """The power of N/L by which the best C itself grows, and whether it is a lower bound because the
        largest C that was tried is the best at some N/L.
        """
        ratio, best = np.array(self.ratios, float), self.relative()
        return float(np.polyfit(np.log(ratio), np.log(best.value * ratio), 1)[0]), bool(best.capped.any())

    def power(self) -> str:
        """'1.75', or 'at least 3.03'."""
        value, bound = self.growth()
        return f"{'at least ' if bound else ''}{value:.2f}"

    def growth_interval(self) -> tuple[float, float]:
        """The 95 % interval of that power, over repeats drawn again."""
        bias, full = self.record["bias_repeats"][:, :, 1:-1], self.record["full_repeats"]
        ratio, counts = np.log(np.array(self.ratios, float)), self.record["counts"]
        found = []
        for rows in np.random.default_rng(0).integers(0, len(bias), (AGAIN, len(bias))):
            relative = (bias[rows].mean(0) / full[rows].mean(0))[..., counts]
            best = _lowest(np.square(relative).mean(-1) ** 0.5, self.tried)
            found.append(np.polyfit(ratio, np.log(best) + ratio, 1)[0])
        low, high = np.quantile(found, (0.025, 0.975))
        return float(low), float(high)

    def near_square(self) -> bool:
        """Whether the best C is within a factor 2 of (N/L)^2 up to N/L = 8."""
        ratio = np.array(self.ratios, float)
        few = ratio <= 8
        return bool(near(self.relative().value[few], ratio[few]).all())

    def square_inside(self) -> int:
        """At how many N/L the 90 % interval holds (N/L)^2."""
        (low, high), ratio = self.relative_interval(), np.array(self.ratios, float)
        return int(((low <= ratio) & (ratio <= high)).sum())

    def rms(self, multiple: float) -> Array:
        """RMS relative bias of this C (0: DOL, infinity: SNIS) at every N/L."""
        return np.asarray(self.record["rms"][:, list(self.multiples).index(multiple)])

    def rms_best(self) -> Array:
        return np.asarray(self.record["rms"][:, 1:-1].min(1))

    def rms_near(self) -> dict[int, float]:
        """RMS relative bias of neighbours with a tail, by N/L."""
        relative = self.record["near_mean"][:, self._reading()] / self.truth
        found = np.sqrt(np.square(relative[:, self.record["counts"]]).mean(1))
        pairs = zip(self.record["near_ratios"], found, strict=True)
        return {int(ratio): float(value) for ratio, value in pairs}

    # ------------------------------------------------------------------------------- scatter, areas, readings

    def scatter(self) -> tuple[list[str], Array, Array, float]:
        """Names of C; standard deviations over repeats at `level` over that of DOL, with one subset for all
        draws and with fresh ones; and the relative error of each. At the first N/L with shared subsets.
        """
        coarse = self.record["coarse"]
        shared = self.record["shared_repeats"][:, 0, :, self.grid_level].std(0, ddof=1)
        places = [_nearest(self.multiples, c) for c in coarse[:-1]]
        k = self.ratios.index(self.shared_ratio)
        fresh = self.record["fresh_sd"][k, :, self._reading(), self.level][[*places, -1]]
        names = ["DOL", *(f"{c:g}" for c in coarse[1:-1]), "SNIS"]
        error = 1 / math.sqrt(2 * (len(self.record["bias_repeats"]) - 1))
        return names, shared / shared[0], fresh / fresh[0], error

    @property
    def shared_ratio(self) -> int:
        return int(self.record["shared_ratios"][0])

    def wider(self) -> list[tuple[float, float]]:
        """Scatter at C = 16 N/L over that of DOL, and its lower end at 2 jackknife errors: with one subset
        for all draws, with fresh ones.
        """
        fine, coarse = (_nearest(self.record[name], WIDE) for name in ("multiples", "coarse"))
        k = self.ratios.index(self.shared_ratio)
        full = self.record["full_repeats"][:, [self.level]]
        fresh = self.record["bias_repeats"][:, k][:, [0, fine], self.level] + full
        shared = self.record["shared_repeats"][:, 0][:, [0, coarse], self.grid_level]
        return [_growth(one) for one in (shared, fresh)]

    def areas(self) -> list[Area]:
        """One for each L with shared subsets."""
        pv, ab = self._reading("PV"), self._reading()
        plain = _nearest(self.record["coarse"], PAPER_RULE)
        found = []
        for k, ratio in enumerate(self.record["shared_ratios"]):
            mean, error = self.record["area_mean"][k], self.record["area_stderr"][k]
            pair = (float(mean[0, pv]), float(error[0, pv]), float(mean[plain, ab]), float(error[plain, ab]))
            found.append(Area(self.sizes[self.ratios.index(int(ratio))], *pair, math.log(self.n)))
        return found

    def dol_rate(self) -> tuple[Array, Array, Array, Array]:
        """The grid; loss/sigma^2 of the optimum of L random images; of DOL with L images; and its error."""
        grid, pv = self.record["grid"], self._reading("PV")
        dol, error = (self.record[f"shared_{part}"][-1, 0, pv] / grid**2 for part in ("mean", "stderr"))
        return grid, self.record["subset_mean"] / grid**2, dol, error

    def theorem(self) -> tuple[Array, Array]:
        """The loss |x0 - D|^2 of the exact denoiser D, and the variance of the posterior, each less A - B
        with A from the same draws; and the standard errors of both: [2, levels].

        Draws are shared. IP is half the sum of A - B and |x0 - D|^2, repeat by repeat, so its error gives
        that of their difference. Of the posterior's variance no pairs are kept: its error is as if it had
        draws of its own.
        """
        mean, error = self.record["full_mean"], self.record["full_stderr"]
        ab, ip, res, pv = (self._reading(name) for name in ("AB", "IP", "RES", "PV"))
        paired = 2 * error[ab] ** 2 + 2 * error[res] ** 2 - 4 * error[ip] ** 2
        errors = np.sqrt(np.stack([paired.clip(0), error[ab] ** 2 + error[pv] ** 2]))
        return np.stack([mean[res] - mean[ab], mean[pv] - mean[ab]]), errors

    def readout_scatter(self) -> tuple[Array, dict[str, Array]]:
        """The optimal loss at every level, and the standard deviation over repeats of each reading of it."""
        names = ("A-B", "AB", "PV", "IP", "RES")
        scatter = {name: self.record["full_sd"][self._reading(name)] for name in names}
        return self.record["full_mean"][self._reading("IP")], scatter


def _nearest(values: Array, wanted: float) -> int:
    return int(np.argmin(np.abs(np.asarray(values) - wanted)))


def _lowest(rms: Array, tried: Array) -> Array:
    """The C [ratios] at the bottom of a parabola through the least `rms` [ratios, C] and its neighbours."""
    places = np.log(tried)
    at = rms.argmin(1).clip(1, len(places) - 2)
    left, middle, right = (rms[np.arange(len(at)), at + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend > 0, (left - right) / (2 * np.where(bend > 0, bend, 1.0)), 0.0).clip(-1, 1)
    found: Array = np.exp(places[at] + shift * (places[1] - places[0]))
    return found


def _growth(values: Array) -> tuple[float, float]:
    """Ratio of the second column's standard deviation to the first's, and its lower end at 2 errors."""
    repeats = len(values)
    kept = [np.delete(values, k, 0).std(0, ddof=1) for k in range(repeats)]
    logs = np.log([row[1] / row[0] for row in kept])
    sd = values.std(0, ddof=1)
    error = float(np.sqrt((repeats - 1) * logs.var()))
    return float(sd[1] / sd[0]), float(sd[1] / sd[0] * np.exp(-2 * error))
