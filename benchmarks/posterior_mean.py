"""The posterior mean of 256 observations over 50,000 images: how much does everything but the products cost?

No method can do with less than two products, x with the data and weights with the data; so each is measured
by its time over these two (float32, nothing else), at sigma = 0.1, 1, 4 and 20. Ours reads the data as
float32 or as uint8 pixels (a quarter of the memory). Beside them: plain torch (norms prepared, two products
and a softmax), torch's fused attention, smalldiffusion's IdealDenoiser, PyKeOps (which compiles the formula,
is timed with 16 rows, and scaled) and the 256 nearest images that faiss finds, which leaves out the others:
how far off that is stands beside it. Memory is the peak during a call above what was in use
before it, so the data do not count, nor does the copy of them that IdealDenoiser keeps. The record also holds
`mean_difference`, the largest difference of each method from ours.

Wanted, at the worst sigma: float32 within 1.15 of the products, uint8 within 1.3, below 1 GiB, and at least
1.25 times faster than IdealDenoiser.

    .venv-bench/bin/python benchmarks/posterior_mean.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("mean", str(__doc__)))
