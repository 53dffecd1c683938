"""What reaches another machine: a clone with other line ends, a wheel without the packages of the book."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from forks import Forks
from PIL import Image

from diffnotes.adapters import save_denoiser
from diffnotes.chapters import checks
from diffnotes.networks import MLP, NetworkDenoiser, seeded

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "diffnotes"
RUN = ["run", "loss_curve", "--profile", "smoke"]
# The core needs few packages; those that the book adds are here as well, so they are kept from loading.
BARE = """
import runpy, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "seaborn", "IPython", "ipywidgets", "jaxtyping"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
COMMAND = BARE + """
sys.argv = ["diffnotes", *sys.argv[1:]]
runpy.run_module("diffnotes", run_name="__main__")
"""
FOLDER = BARE + """
from diffnotes import data
from diffnotes.optimal_loss import optimal_loss
curve = optimal_loss(data.load("imagenet64", folder=sys.argv[1]).x, [3.0, 30.0, 300.0])
print(*curve.mean.tolist())
"""


def digests(folder: Path) -> dict[str, str]:
    """Of every file in a folder, but those that Python makes by itself."""
    paths = (p for p in folder.rglob("*") if p.is_file() and not {"__pycache__", ".git"} & set(p.parts))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def test_a_clone_has_every_byte_whatever_line_ends_are_wished(tmp_path):
    kept = ROOT / "results" / "toy_model"
    shutil.copytree(kept, tmp_path / "old" / "results")
    shutil.copytree(PACKAGE / "base", tmp_path / "old" / "base", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitattributes", tmp_path / "old")
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *words], cwd=tmp_path / "old", check=True)
    windows = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run(["git", *windows, "clone", "-q", *windows, "old", "new"], cwd=tmp_path, check=True)
    assert digests(tmp_path / "new") == digests(tmp_path / "old")
    assert len(digests(tmp_path / "new")) > 5


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which the wheel of this package is installed, and nothing else."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, folder / "diffnotes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    build = "from setuptools import build_meta; build_meta.build_wheel('made')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    [wheel] = (folder / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:  # of a package without extensions this is what installing does
        packed.extractall(folder / "site")
    return folder / "site"


Said = subprocess.CompletedProcess[str]


def said(forks: Forks, site: Path, code: str, *words: str, **variables: str) -> Said:
    """What the installed package says, from another folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DIFFNOTES_")}
    known = {**kept, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    elsewhere = site.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    done = forks.run("-c", code, *words, cwd=elsewhere, environment=known | variables)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_wheel_holds_every_file_of_the_package(site):
    assert digests(site / "diffnotes") == digests(PACKAGE)


def test_claims_need_no_package_of_the_book(forks, site, tmp_path):
    done = said(forks, site, COMMAND, "claims", "--json", DIFFNOTES_ROOT=str(tmp_path))
    found = json.loads(done.stdout)
    assert len(found) == len(checks.claims()) > 200
    assert {claim["state"] for claim in found} == {"", "missing"}


@pytest.mark.parametrize("words", [["claims"], ["status"], ["verify"], ["pin", "0" * 16], RUN])
def test_without_a_checkout_there_is_one_sentence_and_nothing_is_written(forks, site, words):
    before = digests(site.parent)
    done = said(forks, site, COMMAND, *words)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"diffnotes: diffnotes is installed in {site}, without its book; set DIFFNOTES_")
    assert digests(site.parent) == before


def test_a_record_goes_into_the_folder_that_is_named(forks, site, tmp_path):
    before = digests(site.parent)
    done = said(forks, site, COMMAND, *RUN, DIFFNOTES_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    key, folder = done.stdout.split()
    assert (tmp_path / "runs" / "loss_curve" / key / "record.json").samefile(f"{folder}/record.json")
    assert digests(site.parent) == before


def test_the_optimal_loss_of_a_folder_of_images(forks, site, tmp_path):
    draw = np.random.default_rng(0)
    for place in range(6):
        path = tmp_path / "train" / f"class{place % 2}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    own = {"DIFFNOTES_DATA": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = said(forks, site, FOLDER, str(tmp_path), **own)
    low, middle, high = map(float, done.stdout.split())  # six images, some 90 apart
    assert 0 <= low < middle < high


def test_a_report_on_a_model_and_images_of_ones_own(forks, site, tmp_path):
    """Without the book, and without the packages that only its pages need."""
    before = digests(site.parent)
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "photos.npz", x=draw.integers(0, 256, (40, 8, 8), np.uint8))
    save_denoiser(NetworkDenoiser(seeded(0, lambda: MLP((1, 8, 8), 16, 1))), tmp_path / "own.npz")
    words = ["--model", str(tmp_path / "own.npz"), "--train", str(tmp_path / "photos.npz"), "--out"]
    few = ["--draws", "8", "--levels", "4", "--samples", "8", "--steps", "4", "--held-out-share", "0.2"]
    done = said(forks, site, COMMAND, "diagnose", *words, str(tmp_path / "report"), *few)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "report.html").stat().st_size > 5000
    done = said(forks, site, COMMAND, "optimal-loss", "--data", str(tmp_path / "photos.npz"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("What a training loss can reach on these 40 images")
    assert digests(site.parent) == before
