"""Data sets, folders of images, shards, and where they come from: what the book trains on."""

from diffnotes.data.dataset import Dataset, as_bytes, as_floats
from diffnotes.data.fingerprints import fingerprint
from diffnotes.data.sets import (
    SPLITS,
    STORED,
    data_folder,
    fetch,
    load,
    load_torchvision,
    shrunk,
)
from diffnotes.data.shards import Shards

__all__ = [
    "Dataset",
    "SPLITS",
    "STORED",
    "Shards",
    "as_bytes",
    "as_floats",
    "data_folder",
    "fetch",
    "fingerprint",
    "load",
    "load_torchvision",
    "shrunk",
]
