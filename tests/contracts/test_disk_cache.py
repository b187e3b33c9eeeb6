"""A text is computed once for its key, and again if its file is damaged or cannot be written."""

from pathlib import Path

import pytest

from scaling.contracts.disk_cache import cached_text, folder

TEXT = "first line\r\nsecond line\n\u00e9\n\n"


class Counted:
    """Compute a text, and count how often."""

    def __init__(self, text: str = TEXT):
        self.text, self.calls = text, 0

    def __call__(self) -> str:
        self.calls += 1
        return self.text


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_text_is_computed_once_for_its_key_and_comes_back_byte_for_byte():
    compute = Counted()
    assert [cached_text("kind", (1, "a"), compute) for _ in range(3)] == [TEXT] * 3
    assert compute.calls == 1
    other = Counted("other")
    assert cached_text("kind", (1, "b"), other) == "other"
    assert cached_text("another kind", (1, "a"), other) == "other"
    assert cached_text("kind", (1, "a"), other) == TEXT


@pytest.mark.parametrize("keep", [0, 10, 64, 70, -1])
def test_a_file_that_is_cut_off_or_changed_is_computed_again(keep):
    cached_text("kind", (1,), Counted())
    [path] = (folder() / "kind").iterdir()
    content = path.read_bytes()
    for damaged in (content[:keep], content.replace(b"line", b"lime")):
        path.write_bytes(damaged)
        compute = Counted()
        assert cached_text("kind", (1,), compute) == TEXT
        assert compute.calls == 1
        assert path.read_bytes() == content


def test_without_a_home_a_text_is_computed_each_time(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    compute = Counted()
    assert cached_text("kind", (1,), compute) == cached_text("kind", (1,), compute) == TEXT
    assert compute.calls == 2


def test_a_cache_that_cannot_be_written_is_no_error(cache, monkeypatch):
    (cache / "scaling").write_text("a file in place of the folder")
    compute = Counted()
    assert cached_text("kind", (1,), compute) == cached_text("kind", (1,), compute) == TEXT
    assert compute.calls == 2
