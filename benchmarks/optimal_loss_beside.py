"""The optimal loss at 64 noise levels once more, beside one busy process that would take a core.

The same as optimal_loss_curve.py, for every way. Wanted: still 40 times faster than plain torch at equal
standard error.

    .venv-bench/bin/python benchmarks/optimal_loss_beside.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("beside", str(__doc__)))
