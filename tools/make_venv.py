"""Make or refresh a virtual environment: `python3 tools/make_venv.py book|test|bench|sweep`.

Standard library only and no syntax newer than Python 3.6: an old Python gets a sentence, not a traceback.
A stamp, written last, makes a second run free; an interrupted run is noticed and started over.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
BOOK = ["requirements.txt"]
# Purpose -> folder and requirement files. "test" adds to the environment of "book"; benchmarks bring peers
# that may want other versions, so they have their own. Snakemake needs nothing of the book, nor the package.
PURPOSES = {
    "book": (".venv", BOOK),
    "test": (".venv", BOOK + ["requirements-test.txt"]),
    "bench": (".venv-bench", BOOK + ["benchmarks/requirements.txt"]),
    "sweep": (".venv-sweep", ["sweep/requirements.txt"]),
}
# What pip says -> what to tell the user.
REASONS = [
    (r"No space left on device", "the disk is full; free about 6 GB"),
    (r"Permission denied|Read-only file system", "a folder is not writable; check who owns {venv}"),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "the package index has no trusted certificate; see pip's option --cert",
    ),
    (
        r"Failed to establish a new connection|Name or service not known|name resolution|Max retries exceeded"
        r"|ConnectTimeout|ReadTimeout|Network is unreachable|Connection refused|ProxyError|NewConnectionError"
        r"|nodename nor servname|Connection broken|IncompleteRead",
        "the package index cannot be reached; check the network (or pip's index and proxy settings)",
    ),
    (
        r"No matching distribution found for (?P<name>\S+)",
        "the package index offers no {name} for Python {python}; check the network or use PYTHON=python3.12",
    ),
]


class SetupError(Exception):
    """Told to the user in one sentence."""


def newer_pythons():
    """Names of Pythons on the PATH that are new enough, newest last."""
    names = [f"python3.{minor}" for minor in range(OLDEST[1], OLDEST[1] + 4)]
    return [name for name in names if shutil.which(name)]


def check_python(version=sys.version_info):
    """Refuse a Python that is too old or cannot make virtual environments."""
    if tuple(version[:2]) < OLDEST:
        found = newer_pythons()
        hint = "use: make PYTHON=" + found[-1] if found else "install one, then: make PYTHON=python3.12"
        raise SetupError(f"Python {version[0]}.{version[1]} is too old, 3.11 or newer is needed; {hint}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            "This Python cannot make virtual environments; on Debian or Ubuntu: "
            "apt install python3-venv, elsewhere use the Python from python.org"
        ) from None


def check_writable(folder):
    """Refuse a folder in which nothing can be made (tried: root and read-only mounts fool os.access)."""
    probe = folder / ".write-probe"
    try:
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise SetupError(
            f"Cannot write in {folder} ({error.strerror}); clone the repository into a folder of your own"
        ) from None


def fingerprint(files):
    """What an environment depends on: the Python, the place, the requirements and the package's metadata."""
    parts = [sys.version.encode(), os.path.realpath(sys.executable).encode(), str(ROOT).encode()]
    parts += [(ROOT / name).read_bytes() for name in files + ["constraints.txt", "pyproject.toml"]]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def clean_environment():
    """The user's environment without what would mix other packages into ours."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return dict(kept, PYTHONNOUSERSITE="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")


def run_logged(command, log):
    """Run, with everything said kept in `log`; on a terminal, name the package being fetched."""
    live = sys.stdout.isatty()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with open(str(log), "a", encoding="utf-8") as file:
        file.write("$ {}\n".format(" ".join(command)))
        with subprocess.Popen(command, cwd=str(ROOT), env=clean_environment(), **pipes) as process:
            for raw in process.stdout:
                line = raw.decode("utf-8", "replace")
                file.write(line)
                if live and re.match(r"\s*(Collecting|Downloading|Installing)", line):
                    print("\r  " + line.strip()[:76].ljust(76), end="", flush=True)
    if live:
        print("\r" + " " * 78, end="\r", flush=True)
    return process.returncode


def explain(log_text, venv):
    """One sentence for a failed pip, from what it printed."""
    for pattern, reason in REASONS:
        found = re.search(pattern, log_text)
        if found:
            return reason.format(venv=venv, python="{}.{}".format(*sys.version_info), **found.groupdict())
    return "see the log for pip's own message"


def is_usable(venv):
    """Whether the folder holds a working environment that no interrupted run left behind."""
    python = venv / "bin" / "python"
    if (venv / ".installing").exists() or not python.exists():
        return False
    if os.fsencode(venv) not in (venv / "pyvenv.cfg").read_bytes():
        return False  # moved: its scripts point to the old place
    wanted = "{}.{}".format(*sys.version_info)
    check = "import sys, pip; sys.exit('{}.{}'.format(*sys.version_info) != '" + wanted + "')"
    command = [str(python), "-c", check]
    return subprocess.call(command, env=clean_environment(), stderr=subprocess.DEVNULL) == 0


def create(venv, log):
    """A fresh, empty environment in place of whatever is there."""
    shutil.rmtree(str(venv), ignore_errors=True)
    if run_logged([sys.executable, "-m", "venv", str(venv)], log):
        raise SetupError(f"Cannot make the virtual environment {venv}; the log is {log}")


def install(venv, files, log):
    """pip-install the requirement files, and this package beside the book's; a mark that stays tells of an
    interruption.
    """
    mark = venv / ".installing"
    mark.write_text("")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install"]
    requirements = [word for name in files for word in ("-r", name)]
    failed = run_logged(pip + requirements, log)
    if not failed and BOOK[0] in files:
        failed = run_logged(pip + ["--no-deps", "-e", "."], log)
    mark.unlink()
    if failed:
        reason = explain(log.read_text(encoding="utf-8"), venv)
        raise SetupError(f"Installing failed: {reason}; then run the same command again. Full log: {log}")


def main(purpose):
    """Bring the environment for one purpose up to date."""
    check_python()
    check_writable(ROOT)
    folder, files = PURPOSES[purpose]
    venv, log = ROOT / folder, ROOT / "_build" / f"setup-{purpose}.log"
    stamp, wanted = venv / f".stamp-{purpose}", fingerprint(files)
    usable = is_usable(venv)
    if usable and stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"Setting up {folder} (first time: a few minutes and up to 6 GB of disk) ...", flush=True)
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    if not usable:
        create(venv, log)
    install(venv, files, log)
    stamp.write_text(wanted)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PURPOSES:
        sys.exit("usage: make_venv.py " + "|".join(PURPOSES))
    try:
        main(sys.argv[1])
    except SetupError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; run the same command again, it starts over where needed.")
