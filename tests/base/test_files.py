"""Folders that environment variables name."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from diffnotes import data, store
from diffnotes.base import files
from diffnotes.base.errors import UserError
from diffnotes.data import sets

USED = {"DIFFNOTES_ROOT": store.root, "DIFFNOTES_DATA": sets.data_folder, "XDG_CACHE_HOME": sets._user_cache}


@pytest.fixture
def homeless(monkeypatch):
    """A user without a home folder, as in some containers."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))


@pytest.mark.parametrize("name", USED)
def test_the_home_folder_may_be_written_short(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, "~/x")
    assert USED[name]().is_relative_to(tmp_path / "x")


@pytest.mark.parametrize("name", USED)
def test_a_user_that_does_not_exist_is_told(name, monkeypatch):
    monkeypatch.setenv(name, "~nobody-of-this-name/x")
    with pytest.raises(UserError, match=f"^~nobody-of-this-name/x is no folder here .*; set {name} to an"):
        USED[name]()


@pytest.mark.parametrize("name", USED)
def test_a_relative_folder_is_that_of_now(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "x")
    assert USED[name]().is_relative_to(tmp_path / "x")
    monkeypatch.setenv(name, "")
    assert files.folder_of(name) is None


def test_without_a_home_folder_the_variable_is_named(homeless, monkeypatch, tmp_path):
    monkeypatch.delenv("DIFFNOTES_DATA", raising=False)
    with pytest.raises(UserError, match="^~ is no folder here .*; set DIFFNOTES_DATA to an absolute path.$"):
        data.load("cifar10")
    assert len(data.load("digits", 3)) == 3  # which comes with scikit-learn
    monkeypatch.setenv("DIFFNOTES_DATA", str(tmp_path))
    with pytest.raises(UserError, match="fetch cifar10"):
        data.load("cifar10")
    assert os.listdir(tmp_path) == []


def test_without_a_checkout_nothing_is_read_or_written(monkeypatch, tmp_path):
    monkeypatch.delenv("DIFFNOTES_ROOT", raising=False)
    monkeypatch.setattr(store.records, "CHECKOUT", tmp_path)
    for folder in (store.root, store.results, store.runs):
        with pytest.raises(UserError, match="without its book; set DIFFNOTES_ROOT to a checkout"):
            folder()
    Path(tmp_path / "pyproject.toml").touch()
    assert store.root() == tmp_path
