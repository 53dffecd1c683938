"""A GPU for a few minutes, used from its first one: on a bare node with torch, numpy and scikit-learn.

python tools/gpu_session.py bring FOLDER               here: pack the images that the records use
python tools/gpu_session.py run --seconds 800 --out O  there: checks, then records in order of value
python tools/gpu_session.py take-in O                  here: check what came back, pin what is finished

Exit codes: 0 done, 2 bad input (one clear line), 3 unfinished (the next session continues with --resume O),
4 a check or a record failed, or something was refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20


def bring(options: argparse.Namespace) -> int:
    """Pack the images that the records use, with the fingerprints of the whole sets."""
    import gpu_data
    import gpu_work

    from diffnotes import chapters

    rows = gpu_work.wanted(options.profile, options.only)
    specs = [(name, chapters.find(name).profiles[options.profile].replace(**s)) for name, s in rows]
    for path in gpu_data.bring(specs, options.folder):
        print(f"{path} ({path.stat().st_size / MIB:.1f} MiB); there, DIFFNOTES_DATA names its folder")
    return 0


def run(options: argparse.Namespace) -> int:
    """Checks and records, until the time is over."""
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before anybody asks for the device
    import gpu_take_in
    import gpu_work
    import torch

    from diffnotes.base.errors import UserError

    if options.device != "cpu" and not torch.cuda.is_available():
        raise UserError("There is no GPU here; `--device cpu` makes a dry run.")
    if options.resume:
        print("\n".join(gpu_take_in.resume(options.resume).lines), flush=True)
    code = gpu_work.start(
        options.out, options.profile, options.seconds, options.only, round(options.limit * MIB)
    )
    print(f"{options.out / 'report.txt'}: {(options.out / 'report.txt').read_text()}", flush=True)
    return code


def take_in(options: argparse.Namespace) -> int:
    """Check what a session left, put it into runs/, and pin what is finished."""
    import gpu_take_in

    taken = gpu_take_in.take_in(options.out)
    print("\n".join(taken.lines))
    return 4 if taken.refused else 3 if taken.unfinished else 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


_positive.__name__ = "number above 0"  # argparse names it in its sentence


def _parser() -> argparse.ArgumentParser:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="gpu_session.py", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = commands.add_parser("bring", help=bring.__doc__)
    made.set_defaults(action=bring)
    made.add_argument("folder", type=Path, help="where the file goes")
    _records(made)
    made = commands.add_parser("run", help=run.__doc__)
    made.set_defaults(action=run)
    made.add_argument("--seconds", type=_positive, default=800.0, help="the time budget (800)")
    made.add_argument("--out", type=Path, required=True, help="the folder that comes back")
    made.add_argument("--resume", type=Path, metavar="OUT", help="what the session before left")
    made.add_argument("--device", choices=("auto", "cpu"), default="auto", help="cpu: a dry run")
    made.add_argument("--limit", type=_positive, default=15.0, help="MiB of each file that comes back (15)")
    _records(made)
    made = commands.add_parser("take-in", help=take_in.__doc__)
    made.set_defaults(action=take_in)
    made.add_argument("out", type=Path, help="the folder that came back")
    return parser


def _records(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="paper", help="of the records (paper)")
    parser.add_argument(
        "--only", nargs="+", metavar="RECORD", help='such as cifar_gap or "cifar sweep=n", best first'
    )


def main(words: Sequence[str] | None = None) -> int:
    """One command; foreseeable mistakes become one line on stderr."""
    options = _parser().parse_args(words)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from diffnotes.base.errors import UserError

    try:
        return int(options.action(options))
    except UserError as error:
        print(f"gpu_session: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
