"""Chapter 3, the theory: gradient flow of random features (Bonnaire et al.)."""

EXPERIMENTS = {"random_features": "experiment"}  # name -> module
