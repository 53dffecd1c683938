"""Snakemake on a grid: it finds what is missing, deletes nothing, and ends in the same records."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import archive
import nbformat
import pytest
import sweeps

THREE = """
- {experiment: toy_samples, profile: smoke, settings: {seed: [2, 3]}}
- {experiment: two_forms, profile: smoke}
"""
# Stands for the command: the first job makes the other one's record, too, and every job ends badly.
FAKE = """#!/bin/sh
[ "$1" = -m ] || exec {python} "$@"
for order in {root}/sweep/out/orders/*.json
do
  folder={root}/runs/toy_samples/$(basename "$order" .json | cut -d - -f 2)
  mkdir -p "$folder/partial-x"
  [ -e "$folder/record.json" ] || echo "made once" >"$folder/record.json"
  echo "a job" >>"$folder/jobs"
done
kill -9 $$
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Three records of a second each."""
    path = tmp_path / "three.yaml"
    path.write_text(THREE)
    return path


def said(root: Path, *words: str, code: int = 0, **config: object) -> str:
    """What Snakemake prints."""
    asked = sweeps.command(config.pop("grid", "smoke"), *words, **config)  # type: ignore[arg-type]
    done = subprocess.run(
        asked, env=sweeps.environment(root), cwd=root, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


@pytest.mark.usefixtures("snakemake")
def test_three_records_whatever_is_killed(tmp_path: Path, grid: Path) -> None:
    counts = sweeps.kills(2, random.Random(5), tmp_path, grid)
    assert counts["sweeps of 3 equal records"] == 1
    assert 1 <= sum(counts[name] for name in sweeps.KILLED) <= 2
    assert "three: 3 records, 3 there, 0 missing." in said(tmp_path / "whole", "-n", grid=grid)
    forced = said(tmp_path / "whole", "-F", "-n", grid=grid)
    assert "record" not in forced.partition("missing.")[2]


@pytest.mark.usefixtures("snakemake")
def test_nothing_that_a_job_wrote_is_deleted(tmp_path: Path) -> None:
    """Not when the job is killed after it, nor when another process wrote it while the job was waiting."""
    grid, fake = tmp_path / "two.yaml", tmp_path / "python"
    grid.write_text("- {experiment: toy_samples, profile: smoke, settings: {seed: [2, 3]}}")
    fake.write_text(FAKE.format(python=sys.executable, root=tmp_path))
    fake.chmod(0o755)
    words = said(tmp_path, code=1, grid=grid, python=fake, retries=1, threads=2)
    assert "two: 2 records, 0 there, 2 missing." in words
    folders = list(tmp_path.glob("runs/toy_samples/*"))
    assert [(one / "record.json").read_text() for one in folders] == ["made once\n"] * 2
    assert [(one / "jobs").read_text() for one in folders] == ["a job\n" * 4] * 2
    assert all((one / "partial-x").is_dir() for one in folders)


@pytest.mark.usefixtures("snakemake")
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"gird": "smoke"}, "sweep: --config has no gird (did you mean grid?);"),
        ({"grid": "bad.yaml"}, "sweep: bad.yaml, entry 1: experiment must be one of toy_model, "),
    ],
)
def test_a_mistake_is_one_sentence(config: dict[str, str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("- {experiment: toy}")
    (line,) = [line for line in said(tmp_path, "-n", code=1, **config).splitlines() if "sweep: " in line]
    assert line.startswith(sentence)


@pytest.mark.usefixtures("snakemake")
def test_a_dry_run_says_what_is_missing_and_what_it_costs(tmp_path: Path) -> None:
    words = said(tmp_path, "-n", "--profile", str(sweeps.ROOT / "sweep/profiles/slurm"))
    assert "smoke: 12 records, 0 there, 12 missing." in words
    assert "  toy_model (smoke)                  2 records of 21 s\n" in words
    assert "Cost: about 2 core-minutes (cores x time)" in words
    assert len(words.splitlines()) < 50
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.usefixtures("snakemake")
def test_notebooks_are_a_target_of_their_own(tmp_path: Path) -> None:
    words = said(tmp_path, "-n", "notebooks")
    count = len(list((sweeps.ROOT / "notebooks").glob("*.ipynb")))
    assert f"notebook {count:8}".split() in [line.split() for line in words.splitlines()]
    assert "records" not in words


def test_executed_notebooks_are_packed_with_a_manifest(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell('profile = "pinned"', metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell("print(profile)\nassert profile != 'laptop', 'too slow'")]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    source = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), source)
    out = tmp_path / "out" / "page.ipynb"

    def executed(profile: str) -> tuple[int, str]:
        words = [sys.executable, archive.__file__, "run", str(source), profile, str(out)]
        paths = f"{sweeps.ROOT}:{sweeps.ROOT / 'tools'}"
        done = subprocess.run(
            words, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    code, told = executed("laptop")
    assert code == 1
    assert "page.ipynb: AssertionError: too slow; see " in told
    assert [path.name for path in out.parent.iterdir()] == ["unfinished-page.ipynb"]
    assert executed("smoke")[0] == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.ipynb", "page.json"]
    archive.pack(tmp_path / "all.zip", [out])
    assert archive.main(["unpack"]) == 2
    check_archive(tmp_path / "all.zip")


def check_archive(path: Path) -> None:
    """It holds the notebook, as the manifest describes it."""
    with zipfile.ZipFile(path) as found:
        assert found.namelist() == ["page.ipynb", "manifest.json"]
        (line,) = json.loads(found.read("manifest.json"))
        content = found.read("page.ipynb")
    assert (line["notebook"], line["parameters"]) == ("page.ipynb", {"profile": "smoke"})
    assert line["sha256"] == hashlib.sha256(content).hexdigest()
    assert line["seconds"] > 0
    assert "commit" in line
    assert '"smoke\\n"' in content.decode()
