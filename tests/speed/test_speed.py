"""The benchmarks: what is timed is right, and so is what is made of it; seconds are never judged here."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import runpy
import subprocess
import sys
import time
import types
from importlib import metadata
from pathlib import Path

import fakes
import numpy as np
import pytest
import run_benchmarks
import torch

from diffnotes import store
from diffnotes.chapters.speed import experiment as speed
from diffnotes.chapters.speed import figures, readings, stopwatch
from diffnotes.optimal_loss import estimate, optimal_loss
from diffnotes.posterior import posterior
from diffnotes.store.staleness import compare

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIGURES = (
    figures.curve_speed,
    figures.beside_speed,
    figures.mean_speed,
    figures.sampling_speed,
    figures.growth_speed,
    figures.reach_table,
    figures.load_speed,
)
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("elsewhere", "committed")


@pytest.fixture
def record():
    return store.run(speed.EXPERIMENT, "smoke")


@pytest.fixture
def problem(tmp_path):
    spec = speed.EXPERIMENT.twin
    return speed._problem(spec, store.Work(tmp_path))


class Lazy:
    """As much of PyKeOps as is used: [b, 1, d] and [1, n, d] in one tensor."""

    def __init__(self, x):
        self.x = x

    def __sub__(self, other):
        return Lazy(self.x - other.x)

    def __pow__(self, power):
        return Lazy(self.x**power)

    def __neg__(self):
        return Lazy(-self.x)

    def __truediv__(self, number):
        return Lazy(self.x / number)

    def sum(self, axis):
        return Lazy(self.x.sum(axis))

    def sumsoftmaxweight(self, points, axis):
        return torch.softmax(self.x, axis) @ points.x[0]


class Nearest:
    """As much of faiss as is used."""

    def __init__(self, width):
        self.width = width

    def add(self, x):
        assert x.shape[1] == self.width
        self.x = torch.from_numpy(x)

    def search(self, x, count):
        square = torch.cdist(torch.from_numpy(x), self.x, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        return tuple(one.numpy() for one in square.topk(count, 1, largest=False))


@pytest.fixture
def peer(monkeypatch):
    """Stand-ins for the peers with their interfaces; the first predicts the noise."""

    class IdealDenoiser:
        def __init__(self, dataset):
            self.data = torch.stack([dataset[i] for i in range(len(dataset))])

        def __call__(self, x, sigma):
            return (x - posterior(x, float(sigma), self.data).mean) / sigma

    fakes = {
        "smalldiffusion": {"IdealDenoiser": IdealDenoiser}, "faiss": {"IndexFlatL2": Nearest},
        "pykeops": {}, "pykeops.torch": {"LazyTensor": Lazy},
    }  # fmt: skip
    for name, content in fakes.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    version, installed = metadata.version, ("smalldiffusion", "pykeops", "faiss-cpu")
    monkeypatch.setattr(metadata, "version", lambda name: "0" if name in installed else version(name))


def ticking(monkeypatch, *durations):
    """A clock on which the calls to come last so many seconds, over and over."""
    ticks = itertools.accumulate(x for duration in itertools.cycle(durations) for x in (1.0, duration))
    monkeypatch.setattr(stopwatch, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))


# --- what is timed ---


@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_every_way_to_the_mean_gives_the_mean(problem, peer, sigma):
    problem = dataclasses.replace(problem, peers=stopwatch.load_peers(problem.x))
    x0, noise = problem.draws(32, 0)
    x = x0 + sigma * noise
    ways = speed._means(problem, x, sigma)
    ours = ["products", "float32", "uint8", "plain", "attention"]
    assert list(ways) == [*ours, "smalldiffusion", "pykeops", "faiss"]
    exact = posterior(x.double(), sigma, problem.x).mean
    for name in list(ways)[1:]:
        got = ways[name]().double()
        assert len(got) == (2 if name == "pykeops" else 32)  # a sixteenth of the rows
        torch.testing.assert_close(got, exact[: len(got)], rtol=0, atol=2e-5, msg=name)
    torch.testing.assert_close(ways["products"](), x @ problem.x.T @ problem.x)


def test_a_truncated_posterior_is_off_and_that_is_measured(problem, peer, monkeypatch, tmp_path):
    """At small sigma by nothing, at large sigma by what is left out."""
    monkeypatch.setattr(stopwatch, "NEAREST", 9)
    spec = speed.EXPERIMENT.twin.replace(sigmas=(0.1, 20.0), repeats=1)
    problem = dataclasses.replace(problem, peers=stopwatch.load_peers(problem.x))
    found = speed._mean(problem, spec, store.Work(tmp_path))
    off = found["difference"][0, :, list(found["methods"]).index("faiss")]
    assert off[0] < 1e-5
    assert off[1] > 0.05


def test_a_peer_with_fewer_rows_is_charged_for_all(problem, peer, monkeypatch, tmp_path):
    spec = speed.EXPERIMENT.twin.replace(sigmas=(1.0,), repeats=1)
    problem = dataclasses.replace(problem, peers=stopwatch.load_peers(problem.x))
    ticking(monkeypatch, *[2.0] * 6, 3.0, 2.0)
    found = speed._mean(problem, spec, store.Work(tmp_path))
    assert found["seconds"].ravel().tolist() == [2.0] * 6 + [16 * 3.0, 2.0]


def test_repeats_draw_afresh_and_the_same_repeat_draws_the_same(problem):
    (x0, noise), (again, noise_again), (other, other_noise) = (problem.draws(32, turn) for turn in (0, 0, 1))
    assert torch.equal(x0, again)
    assert torch.equal(noise, noise_again)
    assert not torch.equal(x0, other)
    assert not torch.equal(noise, other_noise)


def test_all_estimators_of_the_curve_agree(problem, peer):
    record = store.run(speed.EXPERIMENT, "smoke", question="curve", peers=True, queries=200, repeats=4)
    expected = optimal_loss(problem.pixels, torch.from_numpy(record["curve_timed"]), sources=2000).mean
    assert list(record["curve_methods"]) == ["pairwise", "full", "plain", "smalldiffusion"]
    share = record["curve_mean"] / float(expected[-1])
    np.testing.assert_allclose(share, np.tile(expected[:, None] / expected[-1], 3), atol=0.05)
    np.testing.assert_allclose(record["curve_mean"][:, 1], record["curve_mean"][:, 2], rtol=1e-4, atol=1e-4)


def test_the_curve_reaches_its_standard_error(problem):
    record = store.run(speed.EXPERIMENT, "smoke", question="curve", n=2000, repeats=4)
    reached = np.sqrt((record["curve_stderr"] ** 2).mean(0)).max()
    assert 0.5 * speed.WANTED < reached < 1.5 * speed.WANTED


def test_pruned_sampling_ends_where_the_full_scan_does(record):
    assert record["sampling_deviation"].shape == (2, 7)
    assert record["sampling_deviation"].max() < 1e-5
    assert (record["sampling_scanned"][:, 0] == 4).all()


# --- the clock, and what is made of it ---


def test_seconds_are_those_of_the_call(monkeypatch):
    ticking(monkeypatch, 3.0, 5.0)
    assert stopwatch.timed(lambda: "a", CPU) == (3.0, "a")
    assert stopwatch.timed(lambda: "b", CPU) == (5.0, "b")


def test_ratios_are_taken_within_a_repeat(problem, monkeypatch, tmp_path):
    spec = speed.EXPERIMENT.twin.replace(sigmas=(1.0,))
    ticking(monkeypatch, 2.0, 3.0, 4.0, 1.0, 5.0)
    found = speed._mean(problem, spec, store.Work(tmp_path / "mean"))
    np.testing.assert_allclose(found["ratio"], np.tile([1.0, 1.5, 2.0, 0.5, 2.5], (2, 1, 1)))
    ticking(monkeypatch, 7.0, *[8.0, 2.0] * 7)
    found = speed._sampling(problem, spec, store.Work(tmp_path / "sampling"))
    assert found["low_ratio"].tolist() == [4.0, 4.0]
    np.testing.assert_allclose(found["whole_ratio"], 6 * 8 / (6 * 2 + 7))


def test_the_slow_estimators_are_charged_with_the_draws_each_level_needs(problem, monkeypatch, tmp_path):
    spec = speed.EXPERIMENT.twin.replace(repeats=1)

    def measured(p, spec, turn):
        both = {"variance": 10.0, "pairwise_spread": [0.5] * 12, "pairwise_mean": [0.0] * 12}
        columns = {"spread": [[0.0], [1.0], [4.0]], "mean": [[0.0]] * 3, "seconds": [[0.1], [0.2], [0.3]]}
        return both | columns | {"products": 2.0, "pairwise": 3.0}

    monkeypatch.setattr(speed, "_curve_round", measured)
    monkeypatch.setattr(speed, "_curve_run", lambda *_: {"seconds": 6.0, "stderr": np.full(12, 0.1)})
    found = speed._curve(problem, spec, store.Work(tmp_path / "curve"))
    assert found["draws"] == 50  # 0.5 / (1 % of 10)^2
    np.testing.assert_allclose(found["level_draws"][:, 0], [1, 100, 400])
    np.testing.assert_allclose(found["seconds"], [[6.0, 12 / 3 * (0.1 + 20 + 120)]])
    np.testing.assert_allclose(found["over_products"], [1.5])


def test_the_growth_is_the_slope_in_log_log_axes(problem, monkeypatch, tmp_path):
    law = lambda n, d, levels: [n**0.5 * d**0.25, n * d * levels]  # noqa: E731
    monkeypatch.setattr(speed, "_growth_point", lambda p, spec, sizes, turn: law(*sizes))
    found = speed._growth(problem, speed.EXPERIMENT.twin, store.Work(tmp_path / "growth"))
    np.testing.assert_allclose(found["slope"], [[0.5, 1], [0.25, 1], [0, 1]], atol=1e-12)
    assert found["size"][:, -1].tolist() == [200, 48, 48]


def test_a_load_is_timed_beside_as_many_processes(problem, monkeypatch, tmp_path):
    spec, beside = speed.EXPERIMENT.twin.replace(busy=(0, 3), repeats=2), []

    @contextlib.contextmanager
    def busy(count):
        beside.append(count)
        yield

    monkeypatch.setattr(speed, "busy", busy)
    # ours, two levels of plain torch, and five ways to a mean
    ticking(monkeypatch, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 10.0, 5.0)
    found = speed._load(problem, spec, store.Work(tmp_path / "load"))
    assert beside == [0, 3, 0, 3]
    assert found["busy"].tolist() == [0, 3]
    np.testing.assert_allclose(found["seconds"], np.tile([2.0, 12 * 3.5], (2, 2, 1)))
    np.testing.assert_allclose(found["ratio"], 21.0)
    np.testing.assert_allclose(found["mean_ratio"], np.tile([1.0, 1.0, 1.0, 2.0, 1.0], (2, 2, 1)))


def test_a_curve_is_timed_beside_a_busy_process(problem, monkeypatch, tmp_path):
    beside = []

    @contextlib.contextmanager
    def busy(count):
        beside.append(count)
        yield
        beside.append("over")

    monkeypatch.setattr(speed, "busy", busy)
    monkeypatch.setattr(speed, "_curves", lambda *words: beside.append(words[-1]))
    speed._beside(problem, speed.EXPERIMENT.twin, store.Work(tmp_path))
    assert beside == [1, "beside", "over"]


def test_busy_processes_are_there_and_gone_even_after_an_error(monkeypatch):
    started, popen = [], stopwatch.subprocess.Popen

    def begin(*words, **options):
        started.append(popen(*words, **options))
        return started[-1]

    monkeypatch.setattr(stopwatch.subprocess, "Popen", begin)
    with contextlib.suppress(ZeroDivisionError), stopwatch.busy(3):
        assert [one.poll() for one in started] == [None] * 3
        raise ZeroDivisionError
    assert all(one.poll() is not None for one in started)


def test_busy_processes_end_with_the_one_that_began_them():
    program = "from diffnotes.chapters.speed.stopwatch import busy\nimport os\nwith busy(1): os._exit(7)"
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 7
    # the child holds the pipe of its output, which ends with it
    assert time.monotonic() - begun < 60


def test_numbers_that_stand_twice_are_the_same():
    """Readings do without torch, and so cannot ask."""
    assert estimate.DRAWS == readings.DRAWS
    assert list(stopwatch.FEWER) == [figures.FEW_ROWS]
    assert readings.WORDS["faiss"].startswith(f"{stopwatch.NEAREST} nearest")


def test_what_is_out_of_reach_grows_as_measured():
    size = np.array([[10, 20, 40], [5, 10, 20], [1, 2, 4]])
    law = lambda n, d: 8.0 * (n / 40) ** 1.5 * (d / 20) ** 0.5  # noqa: E731
    rows = [[law(n, 20) for n in size[0]], [law(40, d) for d in size[1]], [8.0] * 3]
    seconds = np.array(rows)[None, :, :, None] * [1.0, 9.0]
    found = fakes.record(
        {"growth_size": size, "growth_seconds": seconds, "points": 40, "dimension": 20}, spec={"queries": 16}
    )
    [first, second, third] = readings.reach(found)
    # a power below 1 is taken as 1
    hours = readings.DRAWS * 8.0 / 4 / 3600 * (50_000 / 40) ** 1.5 * (3072 / 20)
    np.testing.assert_allclose(first.hours, hours)
    assert first.size == 50_000 * 3072
    assert second.hours < third.hours


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (1e-4, "0.36 s"), (0.005, "18 s"), (0.52, "31 min"), (5.0, "5 hours"), (405.0, "17 days"),
        (1e5, "11 years"),
    ],
)  # fmt: skip
def test_durations_have_a_unit(hours, text):
    assert figures.duration(hours) == text


@pytest.mark.parametrize(("size", "text"), [(12.0, "12 B"), (153.6e6, "154 MB"), (12.288e12, "12.3 TB")])
def test_bytes_have_a_unit(size, text):
    assert figures.in_bytes(size) == text


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of memory")
def test_the_peak_is_what_a_call_needs_for_a_while():
    size = 64 << 20  # of which the system may miss some pages: see "inaccurate" under VmHWM in proc(5)
    _, peak, _ = stopwatch.watched(lambda: torch.ones(size, dtype=torch.uint8)[0], CPU)
    assert 0.99 * size < peak < 1.5 * size
    _, small, _ = stopwatch.watched(lambda: None, CPU)
    assert small < size / 8


# --- the record ---


def test_the_twin_compares_names_and_shapes_but_never_seconds(record):
    arrays = dict(record.arrays)
    slower = {k: v * 1e9 if "seconds" in k else v for k, v in arrays.items()}
    assert compare(arrays, slower, speed.EXPERIMENT) == ""
    blind = arrays | {"mean_peak": np.full_like(arrays["mean_peak"], math.nan)}
    assert compare(arrays, blind, speed.EXPERIMENT) == ""
    fewer = arrays | {"mean_seconds": arrays["mean_seconds"][1:]}
    assert "mean_seconds was" in compare(arrays, fewer, speed.EXPERIMENT)
    del fewer["curve_draws"]
    assert "curve_draws" in compare(arrays, fewer, speed.EXPERIMENT)


def test_the_twin_is_verified(record):
    store.pin(speed.EXPERIMENT, record.key)
    store.pin(speed.EXPERIMENT, store.run(speed.EXPERIMENT, "smoke_pixels").key)
    assert store.verify(speed.EXPERIMENT).name == "valid"


def test_each_question_answers_its_part_of_the_twin(record):
    for shown in speed.EXPERIMENT.shown:
        part = store.run(speed.EXPERIMENT, "smoke", **shown)
        expected = {name: array.shape for name, array in record.arrays.items() if name in part}
        assert {name: array.shape for name, array in part.arrays.items()} == expected
        prefix = f"{shown['question']}_"
        assert all(name.startswith(prefix) for name in part.arrays if "_" in name)


def test_slices_resume_without_measuring_again(monkeypatch):
    calls = []
    monkeypatch.setattr(speed, "_mean_round", lambda p, spec, turn: calls.append(turn) or {
        "seconds": [1.0] * 5, "peak": [0.0] * 5, "difference": [0.0] * 5,
    })  # fmt: skip
    stops = 0
    while stops < 20:
        try:
            store.run(speed.EXPERIMENT, "smoke", max_seconds=1e-9, question="mean")
            break
        except store.Unfinished:
            stops += 1
    assert stops == 7
    assert calls == list(range(8))


@pytest.mark.parametrize(
    ("module", "name"), [("smalldiffusion", "smalldiffusion"), ("pykeops", "pykeops"), ("faiss", "faiss-cpu")]
)
def test_a_missing_peer_gets_a_sentence(module, name, peer, monkeypatch):
    for one in (module, f"{module}.torch"):
        monkeypatch.setitem(sys.modules, one, None)
    with pytest.raises(ValueError, match=f"{name} is not installed here.*make bench"):
        store.run(speed.EXPERIMENT, "smoke", question="mean", peers=True)


@pytest.mark.parametrize(
    ("settings", "word"), [({"question": "memory"}, "question"), ({"queries": 8}, "queries")]
)
def test_bad_settings_get_a_sentence(settings, word):
    with pytest.raises(store.SpecError, match=f"{word} must be"):
        store.run(speed.EXPERIMENT, "smoke", **settings)


# --- what is shown ---


def test_pages_show_the_record(record):
    for shown in FIGURES:
        page = shown(record)._repr_html_()
        assert ("<table" if shown is figures.reach_table else "<svg") in page
        assert record.key in page
        assert f'id="{shown.__name__}"' in page
    assert record.meta["device"] in page
    assert "times faster than plain torch" in figures.speed_targets(record)._repr_html_()


@pytest.mark.parametrize(("values", "least", "holds"), [
    ([1, 50, 60], True, True), ([1, 30, 60], True, False),
    ([1, 30, 60], False, True), ([1, 50, 60], False, False), ([math.nan] * 3, False, False),
])  # fmt: skip
def test_a_target_is_judged_by_the_median(values, least, holds):
    target = readings.Target("", 40, np.array(values, dtype=float), least)
    assert target.holds is holds
    assert target.row()[-1] == ("holds" if holds else "fails")


def test_targets_take_the_worst_noise_level():
    ratio = np.array([[[1.0, 1.1, 1.2, 2.0, 1.5], [1.0, 1.3, 1.2, 2.0, 1.5]]])
    methods = np.array(["products", "float32", "uint8", "plain", "smalldiffusion"])
    record = {"mean_ratio": ratio, "mean_methods": methods, "mean_peak": ratio * 2**29}
    found = {target.text: float(target.found[0]) for target in readings.targets(record)}
    assert found["mean: float32 over the two products"] == 1.3
    assert found["mean: times faster than smalldiffusion"] == pytest.approx(1.5 / 1.3)
    assert found["mean: peak memory above the data, GiB"] == pytest.approx(0.65)


def test_a_memory_that_no_system_tells_is_not_called_small():
    assert readings.Target("", 1, np.array([math.nan]), False).row()[2:] == ("not measured", "fails")


@pytest.mark.parametrize("script", run_benchmarks.scripts(BENCHMARKS), ids=lambda path: path.stem)
def test_every_benchmark_prints_its_table(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--profile", "smoke"])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(script), run_name="__main__")
    assert done.value.code == 0
    printed = capsys.readouterr().out
    for word in ("method", "seconds", "ratio", "threads", "record", "torch"):
        assert word in printed


def test_the_benchmarks_answer_every_question():
    texts = [script.read_text() for script in run_benchmarks.scripts(BENCHMARKS)]
    asked = [shown["question"] for shown in speed.EXPERIMENT.shown]
    assert sorted(q for q in asked for text in texts if f'main("{q}"' in text) == sorted(asked)


def test_the_runner_passes_arguments_on_and_stops_at_the_first_that_does_not_finish(tmp_path, capfd):
    (tmp_path / "_helper.py").write_text("raise SystemExit(1)")
    (tmp_path / "a.py").write_text("import sys; print(sys.argv[1:], flush=True)")
    (tmp_path / "b.py").write_text("raise SystemExit(3)")
    (tmp_path / "c.py").write_text("print('never')")
    assert run_benchmarks.run(tmp_path, ["--pin"]) == 3
    printed = capfd.readouterr().out
    assert "['--pin']" in printed
    assert "never" not in printed


def test_requirements_are_pinned():
    lines = [
        line.split("#")[0].strip() for line in (BENCHMARKS / "requirements.txt").read_text().splitlines()
    ]
    for name in stopwatch.PACKAGES.values():
        assert any(line.startswith(f"{name}==") for line in lines)
    assert all("==" in line or line.startswith("-c") for line in lines if line)


def test_questions_without_a_peer_do_not_need_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "smalldiffusion", None)
    record = store.run(speed.EXPERIMENT, "smoke", question="sampling", peers=True)
    assert list(record["versions"]) == [f"torch {torch.__version__}"]


def test_every_question_is_pinned_and_loaded_on_its_own():
    small = speed.EXPERIMENT.twin.replace(question="curve", repeats=1, seed=1)
    experiment = dataclasses.replace(
        speed.EXPERIMENT, profiles={"smoke": speed.EXPERIMENT.twin, "laptop": small}
    )
    keys = {}
    for shown in experiment.shown:
        record = store.run(experiment, "laptop", **shown)
        keys[shown["question"]] = store.pin(experiment, record.key).key
    assert len(set(keys.values())) == len(speed.QUESTIONS)
    for question, key in keys.items():
        found = store.load(experiment, question=question)
        assert (found.key, found.state, found.spec["question"]) == (key, "valid", question)
        assert f"{question}_seconds" in found
