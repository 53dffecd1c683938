"""Notes and progress bars, also where nobody can read them."""

from __future__ import annotations

import io

import pytest

from diffnotes.base.terminal import bar, silently, tell


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_note_is_said_once_and_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("read\nonce")
    tell("read\nonce")
    with silently():
        tell("not said")
    assert capsys.readouterr().err == "read\\nonce\n"


@pytest.mark.parametrize("gone", ["none", "closed"])
@pytest.mark.parametrize("wanted", [None, True])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, gone: str, wanted: bool | None) -> None:
    stream = Terminal()
    stream.close()
    monkeypatch.setattr("sys.stderr", stream if gone == "closed" else None)
    tell(f"a note that nobody reads: {gone} {wanted}")
    assert list(bar(wanted, iterable=range(3))) == [0, 1, 2]


@pytest.mark.parametrize(("stream", "wanted", "shown"), [
    (Terminal, None, True), (io.StringIO, None, False), (io.StringIO, True, True), (Terminal, False, False),
])  # fmt: skip
def test_a_bar_is_shown_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], wanted: bool | None, shown: bool
) -> None:
    monkeypatch.setattr("sys.stderr", out := stream())
    with bar(wanted, total=3, desc="counting") as steps:
        steps.update(3)
    assert ("counting" in out.getvalue()) == shown
