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


@pytest.fixture
def counted():
    """A function of a file that is kept in mind, and how often it was made."""
    made = []

    @files.while_unchanged
    def content(path):
        made.append(path)
        return path.read_bytes()

    return content, made


def test_what_is_made_of_an_old_file_is_made_once_until_it_changes(counted, monkeypatch, tmp_path):
    content, made = counted
    monkeypatch.setattr(files, "TICK", -(10**18))  # as if all were old
    path = tmp_path / "a"
    for text in (b"one", b"two", b"three"):
        files.write_atomic(path, text)
        assert [content(path), content(path)] == [text, text]
    assert len(made) == 3
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content(path)
    files.write_atomic(path, b"four")
    assert content(path) == b"four"


def test_what_has_just_changed_is_made_again(counted, tmp_path):
    content, made = counted
    (tmp_path / "a").write_bytes(b"one")
    assert content(tmp_path / "a") == content(tmp_path / "a")
    assert len(made) == 2


def test_what_fails_is_tried_again(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "TICK", -(10**18))
    fails = [True, False]

    @files.while_unchanged
    def content(path):
        if fails.pop(0):
            raise ValueError("no")
        return path.read_bytes()

    (tmp_path / "a").write_bytes(b"one")
    with pytest.raises(ValueError, match="no"):
        content(tmp_path / "a")
    assert content(tmp_path / "a") == content(tmp_path / "a") == b"one"
