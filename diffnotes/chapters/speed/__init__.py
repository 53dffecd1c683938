"""What exactness costs: this package beside others."""

EXPERIMENTS = {"speed": "experiment", "training_speed": "training"}  # name -> module
