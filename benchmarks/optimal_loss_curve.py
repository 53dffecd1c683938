"""The optimal loss at 64 noise levels: all levels from one pass, or one posterior mean per draw and level?

Measured is the time to a standard error of 1 % of the data variance at every level, for all 50,000 CIFAR-10
images. One pass serves all levels, so ours is run with the draws that its noisiest level needs. The others
(our own posterior mean, plain torch, smalldiffusion's IdealDenoiser) are timed with 128 draws at 8 levels and
scaled linearly, to the draws that each level needs by the variance measured there and to 64 levels. Few draws
suffice where the variance is small, and each level is charged with its own number only: the kindest count.

The second target compares one pass (256 sources, 4 noises each, 64 levels) with the two bare float32
products of one posterior mean of 256 rows, and with 1.5 times that, as it makes three. Wanted: 40 times
faster than plain torch at equal standard error, and a pass within 2.5 of two products and 1.35 of three. A
pass may beat them: where it pays, pixels are multiplied as integers of 8 bits.

    make bench                                                          everything
    .venv-bench/bin/python benchmarks/optimal_loss_curve.py [--profile smoke] [--max-seconds S] [--pin]

A finished record is shown again, not measured again, while the code stands; delete runs/speed to start anew.
"""

from _report import main

if __name__ == "__main__":
    raise SystemExit(main("curve", str(__doc__)))
