"""Random argument lists and settings for the command line.

In one process, by calling main(argv) with captured output; computations are replaced by one that costs
nothing. What must hold of every case:

- no exception leaves main but SystemExit of argparse; the exit code is 0, 2, 3 or 4;
- code 0 comes with output; code 2 with one line on stderr, or the usage, of at most LONGEST characters;
- a record that `run` names has the settings that were asked for;
- nothing is written outside the folder that DIFFNOTES_ROOT names;
- settings from Python raise SpecError or nothing; what a profile has itself is never refused, as text either.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import json
import os
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffnotes import __main__ as command
from diffnotes import chapters, store
from diffnotes.store import records

LONGEST = 1200
WRITES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "shutil.rmtree",
    "os.truncate",
    "os.link",
    "os.symlink",
}
FIND = chapters.find


def nothing(spec: store.Spec, work: store.Work) -> store.Arrays:
    """In place of every computation."""
    return {"n": np.zeros(1)}


def cheap(name: str) -> store.Experiment:
    return dataclasses.replace(FIND(name), compute=nothing)


class Fuzz:
    def __init__(self, draw: random.Random, folder: Path) -> None:
        self.draw, self.folder = draw, folder
        self.counts: Counter[str] = Counter()
        self.written: list[str] = []
        self.names = list(chapters.names())
        sys.addaudithook(self._hook)
        self.watching = False

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.watching:
            return
        path = arguments[0] if arguments else ""
        if event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] not in (
            -1,
            None,
        ):  # below a folder that is open
            return
        if event == "open":
            mode, flags = arguments[1] or "", arguments[2] or 0
            if not (set("wax+") & set(str(mode)) or flags & (os.O_WRONLY | os.O_RDWR)):
                return
        elif event not in WRITES:
            return
        if isinstance(path, (str, bytes, os.PathLike)):
            full = os.path.abspath(os.fsdecode(path))
            if not full.startswith(str(self.folder)) and full != os.devnull and "__pycache__" not in full:
                self.written.append(f"{event} {full}")

    def found(self, kind: str, case: object, detail: str = "") -> None:
        self.counts[f"FAILED: {kind}"] += 1
        if self.counts[f"FAILED: {kind}"] <= 12:
            print(f"{kind}: {str(case)[:400]}\n{detail[-1800:]}", file=sys.stderr)

    # ---------------------------------------------------------------------------------------------- values

    def text(self) -> str:
        d = self.draw
        return d.choice(
            [
                lambda: "",
                lambda: " ",
                lambda: "-",
                lambda: "--",
                lambda: "=",
                lambda: "a=",
                lambda: "=1",
                lambda: "é",
                lambda: "\udce9",
                lambda: "σ" * 5,
                lambda: "a" * d.choice([300, 5000, 100000]),
                lambda: "../../x",
                lambda: "/etc/passwd",
                lambda: "~",
                lambda: "**",
                lambda: "a**",
                lambda: "[",
                lambda: "{",
                lambda: "%s%d",
                lambda: "{0}",
                lambda: "\n",
                lambda: "a\nb",
                lambda: "\x1b[31m",
                lambda: "None",
                lambda: "nan",
                lambda: "inf",
                lambda: "-inf",
                lambda: "1e400",
                lambda: "0x10",
                lambda: "1_000",
                lambda: "١٢",
                lambda: "1" * d.choice([20, 400, 5000]),
                lambda: "-" * 3000 + "1",
                lambda: "[" * 3000,
                lambda: "(" * 150 + ")" * 150,
                lambda: "(1,2",
                lambda: "1,2",
                lambda: "[1,2]",
                lambda: "{1:2}",
                lambda: "{[]:1}",
                lambda: "1j",
                lambda: "b'x'",
                lambda: "...",
                lambda: "True",
                lambda: "'x'",
                lambda: "lambda: 1",
                lambda: "__import__('os')",
                lambda: "1 if 1 else 2",
                lambda: "f'{1}'",
                lambda: str(d.uniform(-10, 10)),
                lambda: str(d.randint(-5, 2000)),
                lambda: "".join(chr(d.randrange(1, 0x300)) for _ in range(d.randrange(12))),
                lambda: "@x",
                lambda: "#",
                lambda: "'\\d'",
                lambda: "1if 1else 2",
                lambda: "{*()}",
                lambda: "-True",
                lambda: "1+2j",
                lambda: "'a' 'b'",
            ]
        )()

    def setting(self, experiment: store.Experiment, profile: str) -> str:
        d = self.draw
        field = d.choice(dataclasses.fields(experiment.spec))
        if d.random() < 0.5:
            value = getattr(experiment.profiles.get(profile, experiment.twin), field.name)
            return f"{field.name}={value}"
        name = d.choice([field.name] * 8 + [field.name[:-1], field.name.upper(), self.text()])
        return f"{name}{d.choice(['='] * 9 + ['', ' = ', '=='])}{self.text()}"

    def argv(self) -> list[str]:
        d = self.draw
        name = d.choice(["run"] * 6 + ["status", "verify", "pin", "pin", "fetch", "claims", "", self.text()])
        words = [name]
        if name == "run":
            known = d.choice(self.names)
            profile = d.choice([*FIND(known).profiles, *FIND(known).profiles, "pinned", self.text()])
            words += [d.choice([known] * 9 + [self.text()])]
            if d.random() < 0.9:
                words += ["--profile", profile]
            if d.random() < 0.8:
                words += [
                    "--set",
                    *(self.setting(FIND(known), profile) for _ in range(d.choice([1, 1, 2, 3, 0]))),
                ]
            if d.random() < 0.1:
                words += ["--max-seconds", d.choice(["1", "1e-9", self.text()])]
        elif name in ("status", "verify") and d.random() < 0.97:
            words += [d.choice(["toy_model", "loss_curve", self.text()])]
        elif name == "pin":
            words += [d.choice([self.text(), f"{d.randrange(1 << 64):016x}", *self._keys()[:3]])]
        elif name == "fetch":
            words += [d.choice(["imagenet64", "mnist", self.text()])]
        for _ in range(d.choice([0, 0, 0, 0, 1, 2])):
            words.insert(
                d.randrange(len(words) + 1),
                d.choice(
                    [
                        "--json",
                        "--summary",
                        "--short",
                        "--pin",
                        "-h",
                        "--help",
                        "--set",
                        "-x",
                        "--",
                        self.text(),
                    ]
                ),
            )
        if "verify" in words and "--ship" in words or words[:1] == ["fetch"] and words[1:2] == ["cifar10"]:
            return ["status", "toy_model"]
        return words

    def _keys(self) -> list[str]:
        return [path.parent.name for path in self.folder.glob("store/runs/*/*/record.json")]

    def environment(self) -> dict[str, str | None]:
        d = self.draw
        if d.random() < 0.85:
            return {}
        odd = ["", "abc", "-1", "0", "1", "2", "9" * 400, " 1", "1.0", "٣"]
        return {
            d.choice(
                [
                    "RANK",
                    "WORLD_SIZE",
                    "LOCAL_RANK",
                    "DIFFNOTES_FEATURES",
                    "TERM",
                    "NO_COLOR",
                    "COLUMNS",
                    "LINES",
                ]
            ): d.choice(odd),
            d.choice(["RANK", "WORLD_SIZE"]): d.choice(odd),
            **(
                {"DIFFNOTES_DATA": d.choice(["~nobody-here/x", "", "/dev/null", str(self.folder / "data")])}
                if d.random() < 0.3
                else {}
            ),
        }

    # ----------------------------------------------------------------------------------------------- checks

    def one_command(self) -> None:
        words, extra = self.argv(), self.environment()
        case = (words, extra)
        out, err = io.StringIO(), io.StringIO()
        self.written.clear()
        code: Any = None
        with (
            environment(extra),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", SyntaxWarning)
            self.watching = True
            try:
                code = command.main(words)
            except SystemExit as stop:
                code = stop.code
                self.counts["argparse"] += 1
            except BaseException:
                self.watching = False
                return self.found("traceback", case, traceback.format_exc())
            finally:
                self.watching = False
        self.counts[f"exit {code}"] += 1
        said, told = out.getvalue(), err.getvalue()
        if code not in (0, 2, 3, 4):
            self.found("exit code", case, str(code))
        if self.written:
            self.found("written outside", case, str(self.written))
        helper = extra.get("RANK") not in (None, "", "0")
        if code == 0 and not said and not helper:
            self.found("nothing done", case)
        if (
            code == 2
            and "usage:" not in told
            and (len(told.splitlines()) != 1 or not told.startswith("diffnotes: "))
        ):
            self.found("no one line", case, told)
        if code == 2 and "usage:" not in told and len(told) > LONGEST:
            self.found("too long", case, told[:300])
        if code == 0 and words[0] == "run" and "usage:" not in said and said:
            self.kept(words, said)

    def kept(self, words: list[str], said: str) -> None:
        folder = Path(said.split("\n")[0].split(" ", 1)[1])
        record = records.read(folder)
        assert record is not None
        self.counts["records"] += 1
        asked = [w for w in words if "=" in w]
        names = [w.partition("=")[0] for w in asked]
        if len(set(names)) < len(names):
            self.found("set twice", words)
        for word in asked:
            name, _, text = word.partition("=")
            value = record.spec.get(name, "no such")
            try:
                wanted = ast.literal_eval(text)
            except Exception:
                wanted = text
            flat = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
            have = value if isinstance(value, list) else [value]
            if list(flat) != have and [text] != have:
                self.found("other setting", words, f"{name}: {value!r} not {wanted!r}")

    def value(self, depth: int = 0) -> Any:
        d = self.draw
        plain = [
            None,
            True,
            False,
            0,
            1,
            -1,
            3,
            10**400,
            10**5000,
            -(10**400),
            1.5,
            float("nan"),
            float("inf"),
            -0.0,
            1e-320,
            "",
            "x",
            "digits",
            b"x",
            (),
            [],
            {},
            set(),
            object,
            object(),
            np.int64(3),
            np.float32(2.0),
            np.array([1, 2]),
            np.array(3),
            np.nan,
            1j,
            range(3),
            "a" * 10**5,
            Hostile(),
            int,
            len,
            ...,
        ]
        if depth < 2 and d.random() < 0.25:
            return d.choice([tuple, list])(self.value(depth + 1) for _ in range(d.randrange(4)))
        return d.choice(plain)

    def one_request(self) -> None:
        d = self.draw
        experiment = FIND(d.choice(self.names))
        profile = d.choice(
            [*experiment.profiles, "pinned", self.value()]
            if d.random() < 0.2
            else [*experiment.profiles, "pinned"]
        )
        names = [f.name for f in dataclasses.fields(experiment.spec)]
        given = {
            d.choice(
                [*names, *names, self.text(), 3, None][: len(names) * 2 + d.choice([0, 3])]
            ): self.value()
            for _ in range(d.choice([1, 1, 2]))
        }
        try:
            asked = store.request(experiment, profile, given)
            if profile != "pinned":
                spec = experiment.profiles[profile].replace(**asked.settings)
                json.dumps(spec.as_dict(), allow_nan=False)
            self.counts["request taken"] += 1
        except store.SpecError as error:
            self.counts["request refused"] += 1
            if len(str(error)) > LONGEST or "\n" in str(error):
                self.found("sentence", (experiment.name, list(given)), str(error)[:300])
        except BaseException:
            self.found(
                "request",
                (experiment.name, repr_of(profile), {k: repr_of(v) for k, v in given.items()}),
                traceback.format_exc(),
            )

    def own_values(self) -> None:
        """Every value of every profile, as text on top of that profile."""
        for name in self.names:
            experiment = FIND(name)
            for profile, spec in experiment.profiles.items():
                for setting, value in spec.as_dict().items():
                    for text in {
                        str(value),
                        str(tuple(value)) if isinstance(value, list) else str(value),
                        str(value).strip("[]").replace(" ", "") if not isinstance(value, str) else value,
                    }:
                        try:
                            parsed = experiment.spec.parse(setting, text)
                            got = store.request(experiment, profile, {setting: parsed}).settings[setting]
                            assert got == value, got
                            self.counts["own value"] += 1
                        except Exception as error:
                            self.found("own value refused", (name, profile, setting, text), repr(error))


class Hostile:
    def __repr__(self) -> str:
        raise OSError("no repr")

    def __eq__(self, other: object) -> bool:
        raise OSError("no eq")

    __hash__ = None  # type: ignore[assignment]


def repr_of(value: Any) -> str:
    try:
        return repr(value)[:100]
    except Exception:
        return f"<{type(value).__name__}>"


@contextlib.contextmanager
def environment(extra: dict[str, str | None]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({k: v for k, v in extra.items() if v is not None})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def misuse(count: int, draw: random.Random, folder: Path) -> Counter[str]:
    """So many commands, and as many sets of settings from Python."""
    os.environ["DIFFNOTES_ROOT"] = str(folder / "store")
    os.environ["DIFFNOTES_DATA"] = str(folder / "data")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    fuzz = Fuzz(draw, folder)
    tempfile.tempdir, chapters.find = str(folder), cheap
    fuzz.own_values()
    for _ in range(count // 2):
        fuzz.one_command()
        fuzz.one_request()
    tempfile.tempdir, chapters.find = None, FIND
    return fuzz.counts
