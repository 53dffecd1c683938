"""The optimal loss at 64 noise levels while other processes are busy, as on a reader's laptop.

One pass for all levels (`optimal_loss`) and one posterior mean per level in plain torch, with 256 sources
each, beside 0, 1 and 4 processes that would each take a core. Plain torch gets one noise per source where the
pass has four, is timed at 2 levels, and scaled. Every operation of torch is a parallel region of its own, at
the end of which all threads wait for the slowest; the sums of the pass are shared out in large pieces.

Wanted: 15 times faster at equal sources, alone and beside both. Below stand all ways to a posterior mean at
sigma = 1 (see posterior_mean.py) beside as many processes, over their bare products.

    .venv-bench/bin/python benchmarks/load.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("load", str(__doc__)))
