"""How does the time of an optimal-loss curve grow with the number of images, of values, of noise levels?

A curve from 64 draws, ours and plain torch, over N from 3,125 to 50,000, over d from 192 to 3,072 (the
first values of each image) and over 16 to 256 levels, the other two at 50,000, 3,072 and 64. Plain torch is
timed at 2 of the levels and scaled linearly to all. The fitted power is the slope of the medians in log-log
axes; there is no target, only the expectation: plain torch about 1 in N and levels, ours well below 1 in
levels.

    .venv-bench/bin/python benchmarks/curve_growth.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("growth", str(__doc__)))
