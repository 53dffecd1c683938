"""Sampling with the exact score of 50,000 images: what does certified pruning save, and what does it change?

64 images, 32 Euler steps on the EDM grid from sigma = 80 to 0.002, then to 0. Both runs start from the same
noise and go step by step in turn, one with every point in every step, one with `PrunedDenoiser`; the time to
prepare the latter counts. What pruning changes is the largest difference of a value in the final images.

Wanted: below sigma = 1 at least 20 times faster per step, the whole run at least 1.8 times (5 hoped for), no
value off by 1e-5.

    .venv-bench/bin/python benchmarks/pruned_sampling.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("sampling", str(__doc__)))
