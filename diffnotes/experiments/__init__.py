"""An older address of `diffnotes.chapters`, kept for those who import `diffnotes.experiments.toy_model`."""
