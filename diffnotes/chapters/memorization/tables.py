"""Tables of chapter 3: metrics on known sets, onsets, all runs, and the paper's settings beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffnotes.chapters.memorization import calibration_readings as known_sets
from diffnotes.chapters.memorization import findings, readings, run_readings
from diffnotes.chapters.memorization.readings import TENTH, Run, title
from diffnotes.chapters.memorization.run_readings import AGAIN
from diffnotes.chapters.memorization.size_findings import precision, trained_in
from diffnotes.show.labels import dataset, minus
from diffnotes.show.style import BookTable, Sentence, book_figure, plus_minus
from diffnotes.store import Record

# ---------------------------------------------------------------------------------------------- calibration

SETS = {
    "train": "other training images",
    "test": "held-out images",
    "copies": "exact copies",
    "noisy": "copies with noise",
    "blurred": "blurred copies",
    "flipped": "mirrored copies",
    "noise": "noise",
    "tenth": "held-out, a tenth noisy copies",
}


@book_figure
def calibration(record: Record, side: int = 32) -> BookTable:
    """What each metric says of each kind of set against the same training images, at `side` pixels."""
    spec = record.spec
    header = ("set", "ρ < 1/3", "largest cosine similarity", "sliced Wasserstein", "Fréchet")
    rows = [_kind_row(record, side, kind) for kind in known_sets.kinds(record)]
    return BookTable(record, header=header, rows=rows, finding=_calibrated(record, side), shows=(
        f"{spec['count']:,} images of each set against {spec['count']:,} training images of "
        f"{dataset(record)} at {side} × {side} pixels; noise on copies has σ = {spec['noise']:g}. "
        "Shares with 95 % intervals; similarity as median and middle 90 % of images. Distances are ± half "
        "the width of the middle 95 % of resampled sets: a resampled set repeats images, which moves every "
        "distance up, so only the width of that range is an error, not its ends."
    ))  # fmt: skip


def _kind_row(record: Record, side: int, kind: str) -> tuple[str, ...]:
    shares = 100 * known_sets.shown(record, "copies", side, kind)
    middle, low, high = known_sets.similarity(record, side, kind)
    distances = (known_sets.distance(record, name, side, kind) for name in ("wasserstein", "frechet"))
    return (
        SETS[kind], f"{shares[0]:.1f} % ({shares[1]:.1f} to {shares[2]:.1f})",
        f"{middle:.3f} ({low:.3f} to {high:.3f})", *(plus_minus(*found) for found in distances),
    )  # fmt: skip


def _calibrated(record: Record, side: int) -> str:
    """What the memorized share, and the similarity, say of altered copies and of images that are none."""
    share = {
        kind: f"{100 * known_sets.shown(record, 'copies', side, kind)[0]:.1f} %"
        for kind in known_sets.kinds(record)
    }
    alike = {kind: f"{known_sets.similarity(record, side, kind)[0]:.3f}" for kind in ("flipped", "test")}
    return (
        f"ρ < 1/3 holds for {share['noisy']} of the noisy, {share['blurred']} of the blurred and "
        f"{share['flipped']} of the mirrored copies, and for {share['test']} of the held-out images; the "
        f"median largest similarity of features is {alike['flipped']} for mirrored copies and "
        f"{alike['test']} for held-out images."
    )


def classifier_found(record: Record) -> Sentence:
    """How often the classifier is right at both sizes, with binomial standard errors."""
    parts = zip(*(record[name] for name in ("side", "accuracy", "accuracy_stderr")), strict=True)
    each = [
        f"{100 * share:.1f} ± {100 * error:.1f} % at {side} × {side} pixels" for side, share, error in parts
    ]
    return Sentence(record, text=(
        f"The classifier behind the features names {' and '.join(each)} of the {int(record['tested']):,} "
        f"test images of {dataset(record)} rightly (± one standard error)."
    ))  # fmt: skip


# ------------------------------------------------------------------------------------------- levels of noise


@book_figure
def levels_table(record: Record) -> BookTable:
    """The losses of the default run at each t: where they are least, and how far they turn after that."""
    place, t = readings.default_place(record), record["t"]
    least, rise = run_readings.least_by_t(record, place)
    again = [run_readings.falls_again(record, place, split, AGAIN) for split in ("test", "train")]
    rows = [
        (f"{t[k]:.2f}", f"{least[k]:,.0f}", *(f"{100 * part[k]:.0f} %" for part in (rise, *again)))
        for k in range(len(t))
    ]
    header = ("t", "least held-out loss at step", "rises then by", "falls again by", "training loss again by")
    return BookTable(
        record, header=header, rows=rows, finding=findings.levels(record),
        shows=(
            f"{title(record)}, {readings.label(record, place)}: losses at each t alone, means over seeds, "
            f"longest average of the weights. Steps at which the held-out loss is least; its rise from there "
            f"to the end; and how far each loss falls again after it has risen by {100 * AGAIN:.0f} %."
        ),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------ onsets and runs


@book_figure
def onset_table(*records: Record) -> BookTable:
    """The fitted powers with their intervals, over a scan of thresholds, and how they change with N."""
    rows = [row for record in records for row in _onset_rows(record)]
    return BookTable(
        *records, header=("onset", "power of N", "from size to size", "bend"), rows=rows,
        finding=findings.power_range(*records),
        shows=(
            "How the onset grows with N: a fit for each seed, and Student’s 95 % interval over the seeds, of "
            "the sizes that every seed reaches. From size to size: the power between neighbours, which a "
            "single power hides; the bend is the last of these less the first, and 0 for a power law. Losses "
            "part by a share of the least held-out loss. What comes after a breakdown is left out. "
            + f"{findings.bends(*records)} Evaluations are further apart in longer runs, so that a crossing, "
            "found by a line between two, comes a little too early at large N, which no interval has."
        ),
    )  # fmt: skip


def _onset_rows(record: Record) -> list[tuple[str, ...]]:
    """A heading with the training set, and a row for each onset."""
    found = readings.thresholds(record).items()
    short = [name.removeprefix("losses ").removeprefix("held-out ") for name, _ in found]
    rows = [
        (_unbroken(f"\u2002{name}"), *_power(record, times))
        for name, (_, times) in zip(short, found, strict=True)
    ]
    return [(title(record), "", "", ""), *rows]


def _power(record: Record, times: np.ndarray) -> tuple[str, str, str]:
    """The power, from size to size, and the bend."""
    found, bend = readings.fitted(record, times), readings.bend(record, times)
    steps = ", ".join(f"{step:.2f}" for step in readings.local_powers(record, times).mean(1))
    if not found.known:  # a fit needs two sizes, its interval two seeds
        return "not reached" if found.sizes < 2 else "one seed, no fit", minus(steps), ""
    more = f"{bend.value:.2f} ({bend.interval})" if bend.known else "–"
    whole = f"{found.value:.2f} ({found.interval})"
    return _unbroken(minus(whole)), minus(steps), _unbroken(minus(more))


def _unbroken(text: str) -> str:
    """With spaces at which no line ends."""
    return text.replace(" ", "\u00a0")


RUNS = ("run", "losses part at", "10 % memorized at", "rate", "least distance", "memorized at the end")
BROKEN = "†"


@book_figure
def larger_runs(record: Record) -> BookTable:
    """The same for a sweep over N that stands apart."""
    return _runs(record)


@book_figure
def sweep_table(base: Record, *sweeps: Record) -> BookTable:
    """Onsets, rate and least distance of every run: means over seeds."""
    return _runs(base, *sweeps)


def _runs(base: Record, *sweeps: Record) -> BookTable:
    runs = [(record, place) for record in (base, *sweeps) for place in readings.ordered(record)]
    rows = [_run_row(base, record, place) for record, place in runs]
    kept = [k for k in range(len(RUNS)) if k == 0 or any(row[k] != "–" for row in rows)]
    return BookTable(
        base, *sweeps, header=[RUNS[k] for k in kept], rows=[[row[k] for k in kept] for row in rows],
        finding=findings.best_run(base, *sweeps), shows=_about_runs(runs, rows, kept),
    )  # fmt: skip


def _about_runs(runs: Sequence[Run], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> str:
    parts = [
        f"Runs on {title(runs[0][0])}, {trained_in(runs[0][0])}; means ± standard error over {_seeds(runs)}; "
        "weights averaged. "
        "Onsets are steps; a dash is what not every seed reaches. The rate is the slope of the memorized "
        "share against ln τ between 10 and 60 %. The least distance is that of samples to held-out images "
        "before the losses part; lower is better."
    ]
    if len(kept) < len(RUNS):
        left = " and ".join(f"“{RUNS[k]}”" for k in range(len(RUNS)) if k not in kept)
        parts.append(f"Left out, since no run has it in every seed: {left}.")
    if broken := [_broken(run) for run in runs if _breaks(*run)]:
        parts.append(
            f"{BROKEN}: the run breaks down, in {'; '.join(broken)}. What comes from there on is left out, "
            "but for the share at the end."
        )
    return " ".join(parts)


def _seeds(runs: Sequence[Run]) -> str:
    """'3 seeds', or '3 seeds, or as many as the row names (claims compare by the seeds that all have)'."""
    counts = [len(record.spec["seeds"]) for record, _ in runs]
    first = f"{counts[0]} seed{'s' if counts[0] > 1 else ''}"
    other = ", or as many as the row names (claims compare by the seeds that all have)"
    return first + (other if len(set(counts)) > 1 else "")


def _broken(run: Run) -> str:
    """'3 of 3 seeds at η = 0.002'."""
    record, place = run
    count = _breaks(record, place)
    return f"{count} of {len(record.spec['seeds'])} seeds at {readings.label(record, place)}"


def _breaks(record: Record, place: int) -> int:
    """In how many seeds it breaks down."""
    return len(run_readings.breakdowns(record, place)) + sum(readings.astray(record, place))


def _run_row(base: Record, record: Record, place: int) -> tuple[str, ...]:
    broken = _breaks(record, place) > 0
    split, ten = (readings.onset(record, name)[place] for name in ("split", TENTH))
    rate, best = (readings.read(record, name)[place] for name in ("rate", "best"))
    share = 100 * readings.curve(record, place, "copies")[:, -1]
    seeds = len(record.spec["seeds"])
    more = f", {seeds} seeds" if seeds != len(base.spec["seeds"]) else ""
    name = readings.run_label(base, record, place) + more + (f" {BROKEN}" if broken else "")
    columns = ((split, 0), (ten, 0), (rate, 2), (best, 3), (share, 0))
    *found, end = (_mean(values, digits) for values, digits in columns)
    return _unbroken(name), *found, f"{end} %"


def _mean(values: np.ndarray, digits: int) -> str:
    if not np.isfinite(values).all():
        return "–"
    spread = readings.stderr(values[None])
    more = "" if spread is None else f" ± {spread[0]:,.{digits}f}"
    return f"{values.mean():,.{digits}f}{more}"


# ----------------------------------------------------------------------------------------------- deviations

THEIRS = {  # arXiv 2605.06077, section 3, Table 1 and the captions of figures 1 to 5
    "training set": "CIFAR-10, 32 × 32, classes given",
    "N": "2,048; 4,096; 8,192; 16,384",
    "network": "U-Net, 2.9 to 201 million parameters",
    "width": "16, 32, 64, 128, 192 channels, by the parameters",
    "batch size": "16, 32, 64, 128",
    "learning rate (Adam)": "0.00001, 0.00005, 0.0001, 0.0004",
    "longest run": "810,000 steps",
    "average of the weights": "10,000 steps",
    "sampler": "250 steps, not named",
    "memorized": "SSCD cosine above 0.6",
    "distances": "Inception features, 2,000 samples",
    "arithmetic of training": "not stated",
    "seeds": "not stated; single curves",
}


@book_figure
def deviations(*sets: Sequence[Record]) -> BookTable:
    """The paper's setting next to ours, line by line; of each training set the sweep over n and others."""
    columns = [_setting(*sweeps) for sweeps in sets]
    rows = [(name, theirs, *(column[name] for column in columns)) for name, theirs in THEIRS.items()]
    header = ("", "Marion & Wu", *(title(base) for base, *_ in sets))
    return BookTable(
        *(record for sweeps in sets for record in sweeps), header=header, rows=rows,
        shows="The paper’s settings beside ours: the default, and in brackets what else was tried.",
    )  # fmt: skip


def _setting(record: Record, *others: Record) -> dict[str, str]:
    spec, side = record.spec, record["sheet"].shape[-1]
    images = title(record) if spec["side"] else f"{title(record)}, {side} × {side}"
    kind = "U-Net" if spec["network"] == "unet" else "residual MLP"
    listed = {name: _tried(name, record, *others) for name in ("n", "width", "batch", "rate")}
    space = "pixels" if record.experiment == "digits" else "features of our classifier"
    classes = "classes given" if spec["conditional"] else "no classes"
    parameters = int(record["parameters"][readings.default_place(record), 0])
    averages = ", ".join(f"{h:,}" for h in readings.horizons(record) if h)
    return {
        "training set": f"{images}, {classes}",
        "N": listed["n"],
        "network": f"{kind}, {parameters:,} parameters",
        "width": f"{spec['width']} ({listed['width']})",
        "batch size": f"{spec['batch']} ({listed['batch']})",
        "learning rate (Adam)": f"{spec['rate']:g} ({listed['rate']})",
        "longest run": f"{max(int(one['step'].max()) for one in (record, *others)):,} steps",
        "average of the weights": f"{averages} steps, and none",
        "sampler": f"Euler, {spec['sampler_steps']} steps",
        "memorized": "pixels, nearest three times nearer than the next",
        "distances": f"{space}, {spec['samples']} samples",
        "arithmetic of training": _arithmetic(record, *others),
        "seeds": _counts(*(len(one.spec["seeds"]) for one in (record, *others))),
    }  # fmt: skip


def _tried(factor: str, base: Record, *others: Record) -> str:
    """'8, 64', the values that a sweep tried, and at which N, where that is not the default."""
    record = next((one for one in (base, *others) if one.spec["sweep"] == factor), None)
    if record is None:
        return "not varied"
    where = readings.beside(base, record).replace(",", " at")
    return ", ".join(f"{v:,g}" for v in sorted(record["value"])) + where


def _arithmetic(*records: Record) -> str:
    """'float32', or 'bfloat16 over N, else float32'."""
    kinds = [precision(record) for record in records]
    if len(set(kinds)) == 1:
        return kinds[0]
    return f"{kinds[0]} over {readings.FACTORS[records[0].spec['sweep']]}, else {kinds[-1]}"


def _counts(*counts: int) -> str:
    """'3', or '5 to 10'."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
