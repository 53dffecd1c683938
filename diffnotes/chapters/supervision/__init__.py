"""Chapter 2, where the loss looks: the supervision region of a data set, exactly (Song et al.)."""

EXPERIMENTS = {
    "shell_width": "shells",
    "supervision_region": "region",
    "guidance_gap": "guidance",
}  # name -> module
