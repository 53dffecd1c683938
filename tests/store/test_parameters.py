"""What a notebook asks for: keywords, compared with its cells on histories made up, and in a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from diffnotes import store
from diffnotes.base.errors import UserError
from diffnotes.store import cells

ROOT = Path(__file__).resolve().parents[2]
OWN = "# Parameters: change them and run all cells"
CALL = "\n".join(
    [
        "from diffnotes import store",
        "from diffnotes.chapters.toy import experiment as toy_model",
        "request = store.parameters(",
        "    toy_model.EXPERIMENT, profile=profile, delta=delta, n_train=n_train, seed=seed",
        ")",
        "print(request.profile, dict(request.settings))",
    ]
)


@dataclass(frozen=True)
class OneSpec(store.Spec):
    n: int = store.number(3, low=1, high=100)
    factor: float = store.number(1.5, low=0.0)
    many: tuple[float, ...] = store.numbers((1.0, 2.0), low=0.0)
    kind: str = store.choice("x", "x", "y")
    sources: int = store.number(4, low=1)
    seed: int = store.number(0, low=0, high=1000)


@dataclass(frozen=True)
class TwoSpec(store.Spec):
    seed: int = store.number(0, low=0, high=50)
    n: int = store.number(3, low=1, high=10)
    lines: int = store.number(3)


def experiment(name: str, spec: type[store.Spec], *profiles: str) -> store.Experiment:
    return store.Experiment(
        name=name, version=1, spec=spec, profiles={p: spec() for p in profiles},
        compute=lambda spec, work: {}, seconds=dict.fromkeys(profiles, 1),
    )  # fmt: skip


ONE = experiment("one", OneSpec, "smoke", "laptop")
TWO = experiment("two", TwoSpec, "smoke", "laptop", "paper")


def ran(*sources: str) -> dict[str, object]:
    """What cells assign that are run one after the other."""
    namespace: dict[str, object] = {}
    for source in sources:
        exec(source, namespace)
    return {name: value for name, value in namespace.items() if name != "__builtins__"}


def check(*sources: str, **later: object) -> dict[str, object]:
    """Run cells, and compare their history with what their variables hold, or by now."""
    values = {**ran(*sources), **later}
    taken = {name: values[name] for name in values if name in NAMES}
    cells.check_history(["", *sources], taken)
    return taken


def fault(history: object, **values: object) -> str:
    """The sentence, which is one."""
    with pytest.raises(store.SpecError) as caught:
        cells.check_history(history, values)
    return one(str(caught.value))


def refused(*experiments: store.Experiment, **more: object) -> str:
    """The sentence with which keywords are refused."""
    with pytest.raises(store.SpecError) as caught:
        store.parameters(*(experiments or (ONE,)), **{"profile": "pinned", **more})
    return one(str(caught.value))


def one(sentence: str) -> str:
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


NAMES = ("profile", *OneSpec.names())


# --- which cells count ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        OWN,
        "# Parameters",
        "#Parameters",
        "# parameters of this page",
        "#  \t PARAMETERS:",
        "\n\n# Parameters",
    ],
)
def test_a_cell_counts_whose_first_line_says_parameters(line):
    assert check("k = 8", f"{line}\nn = 5") == {"n": 5}


@pytest.mark.parametrize(
    "line", ["# Parametrized", "# The Parameters", "#\nparameters = 1", "a = 1  # Parameters"]
)
def test_other_cells_do_not_count(line):
    assert check(f"{line}\nimport math\nm = 7", f"{OWN}\nn = 5") == {"n": 5}
    assert "n is assigned in no cell that begins with '# Parameters'" in fault(
        [f"{line}\nn = 5", f"{OWN}\nseed = 1"], seed=1, n=5
    )


def test_a_cell_may_assign_nothing():
    assert check(OWN) == {}


def test_the_cell_of_papermill_wins_over_the_own_one_and_both_count():
    found = check(f"{OWN}\nprofile = 'pinned'\nn = 5\nseed = 2", "# Parameters\nn = 9\nprofile = 'smoke'\n")
    assert found == {"profile": "smoke", "n": 9, "seed": 2}


def test_the_own_cell_wins_when_it_is_run_again_after_that():
    own = f"{OWN}\nn = 5"
    assert check(own, "# Parameters\nn = 9", own) == {"n": 5}


def test_values_of_papermill_in_front_of_the_own_cell_are_told():
    sentence = fault(["# Parameters\nn = 9", f"{OWN}\nn = 5"], n=5)
    assert sentence.endswith("has lost its tag; give it back the tag `parameters`.")


def test_a_corrected_typo_is_forgotten():
    assert check(f"{OWN}\nnn = 5", "k = 1", f"{OWN}\nn = 5") == {"n": 5}


def test_a_corrected_syntax_error_is_forgotten():
    cells.check_history([f"{OWN}\nn = = 5", f"{OWN}\nn = 5"], {"n": 5})


def test_a_deleted_line_counts_no_longer():
    first, second = f"{OWN}\nn = 5\nseed = 3", f"{OWN}\nn = 5"
    cells.check_history([first, second], {"n": 5})
    assert "seed is assigned in no cell" in fault([first, second], n=5, seed=3)


# --- what such a cell may hold ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ("n = 5", {"n": 5}),
        ("n: int = 5", {"n": 5}),
        ("factor: 'a note' = 2", {"factor": 2}),
        ("n, seed = 5, 6", {"n": 5, "seed": 6}),
        ("(n, [seed, factor]) = [5, (6, 0.5)]", {"n": 5, "seed": 6, "factor": 0.5}),
        ("n = seed = 5", {"n": 5, "seed": 5}),
        ("n = 5; n = 6", {"n": 6}),
        ("many = (1, 2.5)", {"many": (1, 2.5)}),
        ("many = [1, 2.5]", {"many": [1, 2.5]}),
        ("kind = 'y'", {"kind": "y"}),
        ("seed = +7", {"seed": 7}),
        ("'''Words.'''\npass\n# more\n\nn = 5  # why", {"n": 5}),
    ],
)
def test_every_plain_assignment_counts(lines, values):
    assert check(f"{OWN}\n{lines}") == values
    for name in values:
        others = {other: value for other, value in values.items() if other != name}
        assert f"unknown parameter {name!r}" in fault([f"{OWN}\n{lines}"], **others)


@pytest.mark.parametrize(
    "line",
    [
        "import math", "print(1)", "for n in (1, 2): pass", "if True: n = 5", "def f(): pass",
        "class A: pass", "n += 1", "n: int", "n = 2 * 3", "n = other", "n = int('5')",
        "factor = float('inf')", "del other", "n, *many = 1, 2, 3", "[*many] = (1, 2)", "n, seed = 'ab'",
        "n = (seed := 3)", "holder['n'] = 5", "holder.n = 5", "assert True", "n = f'{other}'",
        "many = [*range(3)]", "other", "1", "...", "get_ipython().run_line_magic('time', 'n = 5')",
        "many = {[]}", "with open('x'): pass", "n, seed = 1, 2, 3",
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_the_line_named(line):
    sentence = fault(["", f"{OWN}\nseed = 1\n{line}"], seed=1)
    assert f"not `{line}` (its line 3)" in sentence
    assert "only plain values" in sentence


def test_a_long_statement_is_named_by_its_first_line():
    assert "not `n = int(` (its line 2)" in fault([f"{OWN}\nn = int(\n    5\n)"], n=5)


@pytest.mark.parametrize(
    ("lines", "where"),
    [("n = 5\n!ls", "see its line 3"), ("n = = 5", "see its line 2"), ("n = (5", "line 2"), ("%n", "line 2")],
)
def test_what_is_not_python_is_refused(lines, where):
    sentence = fault([f"{OWN}\n{lines}"], n=5)
    assert "The parameters cell is not Python" in sentence
    assert where in sentence


@pytest.mark.parametrize("value", ["-" * 3000 + "1", "(" * 300 + "1" + ")" * 300, "9" * 5000])
def test_values_beyond_reading_are_refused(value):
    assert "arameters cell" in fault([f"{OWN}\nn = {value}"], n=1)


@pytest.mark.parametrize("later", [6, 5.0, "5", None, [5], object()])
def test_a_variable_that_holds_something_else_by_now_is_told(later):
    sentence = fault([f"{OWN}\nn = 5"], n=later)
    assert sentence.startswith("n is no longer the 5 of the parameters cell; run that cell again")


def test_a_list_that_was_changed_is_told():
    assert "many is no longer the [1, 2]" in fault([f"{OWN}\nmany = [1, 2]"], many=[1, 2, 3])


# --- no history ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history", [None, "# Parameters\nn = 5", 3, [], ["", "n = 5"], ["", None, 3], {"a": OWN}]
)
def test_without_a_history_of_cells_there_is_an_error(history):
    sentence = fault(history, n=5)
    assert "run all cells in Jupyter, or use papermill" in sentence
    assert "no cell that begins with '# Parameters'" in sentence


def outside(tmp_path: Path, *words: str) -> str:
    """What a program says, run apart from any kernel."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
    )
    return done.stdout + done.stderr


ALL = f"{OWN}\nprofile, delta, n_train, seed = 'smoke', 2.0, 12, 0"


def test_a_plain_script_has_no_cells_and_says_what_it_means_by_itself(tmp_path):
    (tmp_path / "script.py").write_text(f"{ALL}\n{CALL}\n")
    assert outside(tmp_path, "script.py") == "smoke {'delta': 2.0, 'n_train': 12, 'seed': 0}\n"
    (tmp_path / "script.py").write_text(f"{ALL}\ndelta = -1\n{CALL}\n")
    assert "delta must be a number from 0.01 to 50; not -1." in outside(tmp_path, "script.py")


@pytest.mark.parametrize("name", ["page.ipynb", "script.py"])
def test_ipython_and_run_get_the_error(tmp_path, name):
    cells = [new_code_cell(ALL), new_code_cell(CALL)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "page.ipynb")
    (tmp_path / "script.py").write_text(f"{ALL}\n{CALL}\n")
    quiet = ("-m", "IPython", "--no-banner", "--colors=NoColor")
    assert "The parameters are not known" in outside(tmp_path, *quiet, name)
    assert "The parameters are not known" in outside(tmp_path, *quiet, "-c", f"%run {name}")


# --- names, profiles, values of a whole notebook -----------------------------------------------------


def test_a_misspelt_name_gets_the_nearest_one_and_all():
    sentence = "unknown parameter 'factro' (did you mean factor?); the valid names are profile, factor, seed."
    assert fault([f"{OWN}\nfactro = 5"], profile="pinned", factor=1.5, seed=0) == sentence
    assert refused(factro=5) == (
        "unknown parameter 'factro' (did you mean factor?); "
        "the valid names are profile, n, factor, many, kind, sources, seed."
    )


@pytest.mark.parametrize("name", ["source", "sources", "lines"])
def test_only_names_that_all_results_take_are_valid_and_offered(name):
    sentence = refused(ONE, TWO, **{name: 7})
    assert sentence == f"unknown parameter {name!r}; the valid names are profile, n, seed."


@pytest.mark.parametrize("name", ["__builtins__", "store"])
def test_a_name_of_python_or_of_the_notebook_itself_is_unknown(name):
    assert f"unknown parameter {name!r}" in fault([f"{OWN}\n{name} = 1"], n=1)


def test_types_and_ranges_must_suit_all_results():
    assert store.parameters(ONE, TWO, profile="pinned", n=9).settings == {"n": 9}
    assert "n must be a whole number from 1 to 10; not 11." in refused(ONE, TWO, n=11)
    assert "seed must be a whole number from 0 to 1000; not 'a'." in refused(ONE, TWO, seed="a")


def test_settings_get_the_form_of_their_fields():
    found = store.parameters(ONE, profile="smoke", factor=2, many=(1, 2.5), kind="y")
    assert found == store.Request("smoke", {"factor": 2.0, "many": [1.0, 2.5], "kind": "y"})
    assert repr(found.settings["factor"]) == "2.0"


def test_none_is_what_the_profile_has_and_a_wrong_name_stays_wrong():
    assert store.parameters(ONE, profile="smoke", factor=None, n=9) == store.Request("smoke", {"n": 9})
    with pytest.raises(store.SpecError, match="unknown parameter 'fatcor'"):
        store.parameters(ONE, profile="smoke", fatcor=None)


def test_results_that_follow_the_profile_alone_take_no_settings():
    assert store.parameters(ONE, profile="pinned", factor=2.0, also=[TWO]).settings == {"factor": 2.0}
    with pytest.raises(store.SpecError, match="unknown parameter 'n'; the valid names are profile"):
        store.parameters(profile="pinned", n=9, also=[ONE, TWO])
    assert store.parameters(profile="smoke", also=[TWO]) == store.Request("smoke", {})


def test_a_profile_must_exist_for_all_results():
    assert store.parameters(TWO, profile="paper").profile == "paper"
    for experiments, more in (((ONE, TWO), ()), ((ONE,), (TWO,))):
        sentence = refused(*experiments, profile="paper", also=more)
        assert sentence == (
            "profile must be one of pinned, smoke, laptop; not 'paper', which exists for two alone."
        )
    assert store.parameters(ONE, TWO, profile="pinned") == store.Request("pinned", {})


def test_the_profile_must_be_said():
    with pytest.raises(TypeError, match="profile"):
        store.parameters(ONE)


@pytest.mark.parametrize("profile", ["papr", "", 3, None, ["smoke"], ("smoke",)])
def test_a_profile_that_nothing_has_is_refused(profile):
    assert refused(ONE, TWO, profile=profile) == (
        f"profile must be one of pinned, smoke, laptop; not {profile!r}."
    )


def test_numbers_of_numpy_are_plain_ones():
    given = {"n": np.int64(3), "sizes": np.array([3, 4])}
    settings = store.request(SIZED, "smoke", given).settings
    assert settings == {"n": 3, "sizes": [3, 4]}
    assert json.dumps(SIZED.profiles["smoke"].replace(**given).as_dict())
    assert store.request(SIZED, "smoke", {"sizes": (np.int32(2), 3)}).settings == {"sizes": [2, 3]}
    for wrong in ({"n": np.float32(3)}, {"n": np.bool_(True)}, {"n": np.array([3])}, {"sizes": np.eye(2)}):
        with pytest.raises(store.SpecError):
            store.request(SIZED, "smoke", wrong)


# --- settings are checked against the profile that is asked for --------------------------------------


@dataclass(frozen=True)
class SizedSpec(store.Spec):
    n: int = store.number(2)
    sizes: tuple[int, ...] = store.numbers((2, 3))

    def __post_init__(self):
        super().__post_init__()
        if self.n not in self.sizes:
            raise store.SpecError(f"sizes must contain n = {self.n}; not {self.sizes!r}.")


SIZED = replace(
    experiment("sized", SizedSpec, "smoke"),
    profiles={
        "smoke": SizedSpec(), "laptop": SizedSpec(n=64, sizes=(64, 128)),
        "paper": SizedSpec(n=512, sizes=(512, 1024)),
    },
)  # fmt: skip


def test_a_setting_must_suit_the_profile_that_is_asked_for():
    for profile, n in (("smoke", 3), ("laptop", 128), ("paper", 1024)):
        assert store.request(SIZED, profile, {"n": n}).settings == {"n": n}
    with pytest.raises(store.SpecError, match=r"n = 3; not \(64, 128\)"):
        store.request(SIZED, "laptop", {"n": 3})


def test_pinned_means_the_best_profile_that_takes_the_setting():
    assert store.request(SIZED, "pinned", {"n": 1024}).settings == {"n": 1024}
    assert store.request(SIZED, "pinned", {"n": 128}).settings == {"n": 128}
    with pytest.raises(store.SpecError, match=r"n = 3; not \(512, 1024\)"):
        store.request(SIZED, "pinned", {"n": 3})
    alone = replace(SIZED, profiles={"smoke": SizedSpec()})
    assert store.request(alone, "pinned", {"n": 3}).settings == {"n": 3}


def test_the_digits_of_chapter_3_take_a_size_of_their_laptop_profile():
    from diffnotes.chapters.memorization import digits

    assert store.request(digits.EXPERIMENT, "laptop", {"n": 128}).settings == {"n": 128}
    with pytest.raises(UserError, match="sizes must contain n = 128"):
        store.request(digits.EXPERIMENT, "smoke", {"n": 128})


# --- in a kernel -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Run cells one after the other in one kernel; gives what the last prints, or its error."""
    folder = tmp_path_factory.mktemp("kernel")
    client = NotebookClient(
        new_notebook(), timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        with client.setup_kernel():
            yield client


def said(client: NotebookClient, *cells: str) -> str:
    """Text and errors of the last of some cells, run in a history without earlier ones."""
    for source in ("In[:] = ['']", *cells):
        cell = new_code_cell(source)
        client.nb.cells = [cell]
        try:
            client.execute_cell(cell, 0)
        except CellExecutionError as error:
            shown = f"{error.ename}: {error.evalue}"
        else:
            shown = "".join(out.get("text", "") for out in cell.outputs)
    return shown


DEFAULT = "profile = 'pinned'\ndelta: float = 1.6\nn_train, seed = 10, 0"


def page(*lines: str) -> str:
    """A parameters cell: the default values, and other lines below them."""
    return "\n".join([OWN, DEFAULT, *lines])


def test_a_kernel_reads_plain_and_annotated_cells(kernel):
    lines = ("profile = 'smoke'", "delta: float = 2.0", "n_train, seed = 5, 1")
    assert said(kernel, page(*lines), CALL) == "smoke {'delta': 2.0, 'n_train': 5, 'seed': 1}\n"


@pytest.mark.parametrize("line", ["n_trian = 12", "n_trian: int = 12", "n_trian, other = 12, 13"])
def test_a_kernel_refuses_a_name_that_nothing_takes(kernel, line):
    asked = "SpecError: unknown parameter 'n_trian' (did you mean n_train?)"
    assert asked in said(kernel, page(line), CALL)
    assert asked in said(kernel, page(), f"# Parameters\n{line}", CALL)


def test_a_kernel_misses_a_cell_that_is_not_there(kernel):
    bare = page().removeprefix(f"{OWN}\n")
    assert "The parameters are not known" in said(kernel, bare, CALL)
    assert "is assigned in no cell that begins" in said(kernel, bare, "# Parameters\nn_train = 12", CALL)
    assert "has lost its tag" in said(kernel, "# Parameters\nn_train = 12", page(), CALL)
    gone = "del profile, delta, n_train, seed"
    assert said(kernel, page(), gone, CALL) == "NameError: name 'profile' is not defined"


def test_a_kernel_forgets_what_was_edited_or_deleted(kernel):
    typo, right = page("detla = 2.0"), page("delta = 1.5")
    last = "pinned {'delta': 1.5, 'n_train': 10, 'seed': 0}\n"
    assert "SpecError: unknown parameter 'detla' (did you mean delta?)" in said(kernel, page(), typo, CALL)
    assert said(kernel, typo, CALL, right, CALL) == last
    assert said(kernel, page("n_train = 5"), CALL, right, CALL) == last
    assert said(kernel, page("delta = = 2"), CALL, right, CALL) == last
