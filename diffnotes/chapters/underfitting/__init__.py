"""Chapter 2, a network on samples of a Gaussian: what it learns, and where (Song et al.)."""

EXPERIMENTS = {
    "gaussian": "gaussian",
    "gaussian_slower": "slower",
    "gaussian_factors": "factors",
}  # name -> module
