"""Chapters as batch jobs: they compute what they are asked, and refuse nonsense with one sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import build_pages
import nbformat
import papermill
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from diffnotes import store
from diffnotes.adapters import save_denoiser
from diffnotes.networks import MLP, NetworkDenoiser, seeded

ROOT = Path(__file__).resolve().parents[2]
TOY, GAUSSIAN, MEMORIZATION, LOSS, LENSES, OWN = (
    ROOT / "notebooks" / f"{name}.ipynb"
    for name in (
        "01_toy_model", "02_gaussian_underfitting", "03_cifar_memorization", "04_imagenet_loss_gap",
        "05_four_lenses", "06_your_model",
    )
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_kernels(elsewhere, monkeypatch):
    """Records and kernels of these runs are in a folder of their own."""
    monkeypatch.setenv("IPYTHONDIR", str(elsewhere / "ipython"))


class OneKernel(NBClientEngine):
    """Papermill in a kernel that goes on: the next notebook finds the packages loaded, but no name and no
    cell of the one before.
    """

    manager: AsyncKernelManager

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **_):
        client = PapermillNotebookClient(nb_man, km=cls.manager)
        client.execute()
        client.kc.stop_channels()
        assert build_pages.forgets(cls.manager, ROOT)


@pytest.fixture(scope="module")
def one_kernel(tmp_path_factory):
    """The folder of a kernel that runs one notebook after the other, as papermill's engine `one_kernel`."""
    folder = tmp_path_factory.mktemp("kernel")
    own = {"DIFFNOTES_ROOT": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    OneKernel.manager = AsyncKernelManager(kernel_name="python3")
    run_sync(OneKernel.manager.start_kernel)(env=os.environ | own)
    papermill_engines.register("one_kernel", OneKernel)
    yield folder
    run_sync(OneKernel.manager.shutdown_kernel)(now=True)


def execute(tmp_path, chapter=TOY, engine=None, **parameters):
    out = tmp_path / "out.ipynb"
    papermill.execute_notebook(
        chapter, out, parameters, kernel_name="python3", engine_name=engine, progress_bar=False
    )
    return nbformat.read(out, as_version=4)


def refusal(folder, chapter, engine="one_kernel", **parameters):
    """The sentence with which a chapter stops, before anything is computed in the kernel's folder."""
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        execute(folder, chapter, engine, **parameters)
    assert len(caught.value.traceback) == 1  # the sentence, and no call stack
    assert not list(folder.glob("runs/*"))
    return caught.value.evalue


@pytest.mark.parametrize(
    ("chapter", "parameters", "sentence"),
    [
        (TOY, {"detla": 1}, "unknown parameter 'detla' (did you mean delta?)"),
        (MEMORIZATION, {"seeds": [1]}, "unknown parameter 'seeds'; the valid names are profile."),
        (LOSS, {"dataset": "mnist"}, "dataset must be one of digits, cifar10, imagenet64"),
    ],
)
def test_a_chapter_refuses_in_a_kernel_of_its_own(tmp_path, chapter, parameters, sentence):
    """As a reader runs it; further refusals share a kernel, since each new one loads torch."""
    assert sentence in refusal(tmp_path, chapter, engine=None, **parameters)


def test_parameters_reach_the_record(tmp_path):
    notebook = execute(tmp_path, profile="smoke", delta=1.45)
    shown = "".join(str(out) for cell in notebook.cells for out in cell.get("outputs", []))
    assert "profile smoke, delta = 1.45" in shown
    [record] = [store.records.read(path.parent) for path in tmp_path.glob("runs/toy_model/*/record.json")]
    assert record.spec["delta"] == 1.45
    assert record.profile == "smoke"


def test_a_reader_s_own_model_is_looked_at(tmp_path):
    path = save_denoiser(NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 16, 1))), tmp_path / "own.npz")
    notebook = execute(tmp_path, OWN, profile="smoke", model=str(path), samples=20)
    shown = "".join(str(out) for cell in notebook.cells for out in cell.get("outputs", []))
    assert "The report on own.npz, the most important first." in shown
    assert "of 20 samples" in shown
    records = [store.records.read(one.parent) for one in tmp_path.glob("runs/own_model/*/record.json")]
    assert [record.spec["model"] for record in records] == [str(path)]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (
            {"detla": 1},
            "unknown parameter 'detla' (did you mean delta?); the valid names are profile, delta, n_train",
        ),
        ({"delta": "abc"}, "delta must be a number from 0.01 to 50; not 'abc'."),
        ({"delta": -1}, "delta must be a number from 0.01 to 50; not -1."),
        ({"profile": "papr"}, "profile must be one of pinned, smoke, laptop; not 'papr'."),
    ],
)
def test_a_wrong_parameter_gets_one_sentence(one_kernel, parameters, sentence):
    assert sentence in refusal(one_kernel, TOY, **parameters)


@pytest.mark.parametrize(
    ("chapter", "parameters", "sentence"),
    [
        (
            TOY,
            {"profile": "paper"},
            "one of pinned, smoke, laptop; not 'paper', which exists for cifar_gap alone.",
        ),
        (
            MEMORIZATION,
            {"profile": "paper"},
            "one of pinned, smoke, laptop; not 'paper', which exists for cifar alone.",
        ),
        (MEMORIZATION, {"seeds": [1]}, "unknown parameter 'seeds'; the valid names are profile."),
        (GAUSSIAN, {"profile": "paper"}, "not 'paper', which exists for gaussian alone."),
        (GAUSSIAN, {"dim": 0}, "dim must be a whole number from 1 to 4096; not 0."),
        (GAUSSIAN, {"width": 50}, "unknown parameter 'width'"),
        (LOSS, {"source": 700}, "unknown parameter 'source'; the valid names are profile, seed, dataset"),
        (LOSS, {"sigma_min": 0.0}, "sigma_min must be a number from 1e-06 to 1000; not 0.0."),
        (LOSS, {"dataset": "mnist"}, "dataset must be one of digits, cifar10, imagenet64"),
        (LOSS, {"sed": 7}, "unknown parameter 'sed' (did you mean seed?)"),
        (LENSES, {"profile": "paper"}, "profile must be one of pinned, smoke, laptop; not 'paper'."),
        (LENSES, {"seeds": [1]}, "unknown parameter 'seeds'; the valid names are profile."),
        (OWN, {"modle": "a"}, "unknown parameter 'modle' (did you mean model?)"),
        (OWN, {"train": 3}, "train must be a text of one line; not 3."),
        (OWN, {"target": "noise"}, "target must be one of '', x0, eps, v, velocity, score, F; not 'noise'."),
    ],
)
def test_a_chapter_offers_only_what_all_of_it_takes(one_kernel, chapter, parameters, sentence):
    assert sentence in refusal(one_kernel, chapter, **parameters)


def short(tmp_path, change=lambda cells: cells):
    """Chapter 1 up to its second cell, with its two cells changed."""
    notebook = nbformat.read(TOY, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:2]
    cells[1].source = cells[1].source.replace("record = ", "print(request)\n# ")
    notebook.cells = change(cells)
    nbformat.write(notebook, tmp_path / "short.ipynb")
    return tmp_path / "short.ipynb"


def test_parameters_of_chapter_2_reach_its_gaussian(tmp_path):
    """Up to the one line that loads what they are for; the whole page takes most of a minute."""
    notebook = nbformat.read(GAUSSIAN, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:3]
    [line] = re.findall(r"^runs = .+$", notebook.cells[2].source, re.MULTILINE)
    notebook.cells[2].source = line
    nbformat.write(notebook, tmp_path / "short.ipynb")
    execute(tmp_path, tmp_path / "short.ipynb", profile="smoke", dim=7, n_train=30, iterations=20)
    specs = [store.records.read(path.parent).spec for path in tmp_path.glob("runs/gaussian/*/record.json")]
    assert sorted(spec["seed"] for spec in specs) == [0, 1, 2]
    assert {(spec["dim"], spec["n_train"], spec["iterations"]) for spec in specs} == {(7, 30, 20)}


def lines(*some):
    """Other lines in the parameters cell."""

    def change(cells):
        cells[0].source = "\n".join([cells[0].source.splitlines()[0], *some])
        return cells

    return change


def test_annotated_and_unpacked_parameters_count_beside_those_given(tmp_path):
    chapter = short(tmp_path, lines("profile: str = 'smoke'", "delta: float = 1.2", "n_train, seed = 6, 3"))
    found = execute(tmp_path, chapter, delta=1.45)
    assert "Request(profile='smoke', settings={'delta': 1.45, 'n_train': 6, 'seed': 3})" in str(
        found.cells[-1]
    )


@pytest.mark.parametrize("line", ["n_trian = 12", "n_trian: int = 12"])
def test_an_unknown_name_in_the_own_cell_is_refused(one_kernel, tmp_path, line):
    chapter = short(tmp_path, lines("profile, delta, n_train, seed = 'smoke', 1.2, 6, 3", line))
    assert "unknown parameter 'n_trian' (did you mean n_train?)" in refusal(one_kernel, chapter)


def test_a_value_that_papermill_cannot_write_as_a_literal_is_refused(one_kernel, tmp_path):
    assert "not `delta = float('inf')` (its line 2)" in refusal(
        one_kernel, short(tmp_path), delta=float("inf")
    )


def test_anything_but_plain_values_is_refused(one_kernel, tmp_path):
    chapter = short(tmp_path, lines("import math", "profile, delta, n_train, seed = 'smoke', 1.2, 6, 3"))
    assert "not `import math` (its line 2)" in refusal(one_kernel, chapter, delta=1.45)


def without_tag(cells):
    cells[0].metadata.tags = []
    return cells


def without_heading(cells):
    cells[0].source = "\n".join(cells[0].source.splitlines()[1:])
    return cells


@pytest.mark.parametrize(
    ("change", "parameters", "sentence"),
    [
        (without_tag, {"n_train": 12}, "which has lost its tag; give it back the tag `parameters`."),
        (without_heading, {}, "no cell that begins with '# Parameters' is in the history"),
        (without_heading, {"n_train": 12}, "assigned in no cell that begins with '# Parameters'"),
        (lambda cells: without_tag(without_heading(cells)), {"n_train": 12}, "is assigned in no cell"),
        (lambda cells: cells[1:], {}, "name 'profile' is not defined"),
        (lambda cells: cells[1:], {"n_train": 12}, "name 'profile' is not defined"),
    ],
)
def test_a_chapter_without_its_parameters_stops(one_kernel, tmp_path, change, parameters, sentence):
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        execute(one_kernel, short(tmp_path, change), "one_kernel", **parameters)
    assert sentence in caught.value.evalue
    assert not list(one_kernel.glob("runs/*"))
