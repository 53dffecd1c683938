"""Chapter 1, the toy model: ten points on a circle, where everything is exact (Kaiser & Kollmann)."""

EXPERIMENTS = {"toy_model": "experiment"}  # name -> module
