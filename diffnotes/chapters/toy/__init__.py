"""Chapter 1, the toy model: ten points on a circle, where everything is exact (Kaiser & Kollmann)."""

EXPERIMENTS = {
    "toy_model": "experiment",
    "toy_samples": "samples",
    "optimal_sampler": "optimal_sampler",
}  # name -> module
