"""Values of Song et al. (arXiv 2510.01378), measured by us from the drawings of its figures; none is ours.

Positions in the vector drawings were turned into numbers by the ticks of their axes, which is exact to about
half a percent. Which checkpoint a point is, is inferred from the training compute.
"""

from __future__ import annotations

# Figure 3: training compute in GFLOPs, supervised and extrapolated error, of SiT-S, B, L at 200, 300, 400
# thousand steps and XL at 400.
COMPUTE = (4.37e8, 6.56e8, 8.74e8, 1.62e9, 2.43e9, 3.24e9, 5.64e9, 8.46e9, 1.13e10, 1.65e10)
SUPERVISED = (.18842, .18787, .18748, .18655, .18593, .18566, .18493, .18431, .18374, .18339)  # fmt: skip
EXTRAPOLATED = (.53336, .53374, .53394, .53441, .53465, .53474, .53488, .53511, .53538, .53588)  # fmt: skip

# Figure 5: memorization ratio against |D_region| / |D_score|, D_score 100,000 images.
TRANSFORMER = {1: 0.08, 2: 0.41, 3: 0.67, 4: 0.76, 8: 0.82, 25.6: 0.85}
UNET = {1: 0.00, 2: 0.01, 4: 0.05, 8: 0.59, 25.6: 0.80}

# Figure 6: squared difference of the scores with and without REPA, supervised and extrapolated, by size.
REPA_SIZES = ("S", "B", "L")
REPA_SUPERVISED = (0.0151, 0.0139, 0.0155)
REPA_EXTRAPOLATED = (0.0278, 0.0260, 0.0227)

# Figure 7: (supervision loss, FID) at 200, 300 and 400 thousand steps, by size, for each recipe.
Point = tuple[float, float]
SIT: dict[str, tuple[Point, ...]] = {
    "S": ((.7350, 71.8), (.7310, 63.8), (.7287, 59.3)),
    "B": ((.7208, 48.4), (.7172, 41.3), (.7150, 36.9)),
    "L": ((.7085, 29.3), (.7045, 23.5), (.7019, 20.4)),
}  # fmt: skip
RECIPES: dict[str, dict[str, tuple[Point, ...]]] = {
    "transformer": SIT,
    "U-Net": {
        "XS": ((.7491, 79.3), (.7459, 74.0), (.7440, 70.6)),
        "S": ((.7319, 54.9), (.7287, 48.5), (.7268, 44.7)),
        "B": ((.7244, 45.5), (.7214, 40.0), (.7194, 36.2)),
        "L": ((.7239, 40.0), (.7189, 32.6), (.7157, 28.2)),
    },
    "U-Net, no attention": {
        "XS": ((.7574, 89.8), (.7542, 84.2), (.7522, 80.9)),
        "S": ((.7398, 62.5), (.7366, 56.3), (.7346, 52.4)),
        "B": ((.7322, 50.4), (.7289, 44.1), (.7269, 40.4)),
        "L": ((.7257, 42.4), (.7222, 36.2), (.7199, 32.5)),
    },
    "REPA 0": {size: SIT[size] for size in ("S", "B")},
    "REPA 0.25": {
        "S": ((.7365, 67.2), (.7327, 59.6), (.7307, 55.1)),
        "B": ((.7210, 39.1), (.7175, 33.2), (.7154, 30.0)),
    },
    "REPA 0.5": {
        "S": ((.7388, 64.6), (.7350, 57.2), (.7328, 52.7)),
        "B": ((.7221, 37.0), (.7185, 31.6), (.7164, 28.8)),
    },
    "REPA 1": {
        "S": ((.7416, 64.9), (.7376, 57.7), (.7353, 53.4)),
        "B": ((.7238, 37.4), (.7203, 32.2), (.7182, 29.4)),
    },
}  # fmt: skip
AT = 0.72  # the supervision loss at which lines are compared: within the losses of every recipe

# Figure 9: shares of the samples drawn: at a point (within 0.03), in the bad gap, in the good gaps.
PERCEPTION = {
    ("mlp", "plain"): (0.89, 0.077, 0.029),
    ("mlp", "polar"): (0.78, 0.001, 0.22),
    ("mlp", "radial"): (0.22, 0.026, 0.76),
    ("kernel", "plain"): (0.39, 0.31, 0.25),
    ("kernel", "polar"): (0.70, 0.054, 0.25),
}
