import os

import pytest

from minifcn.files import replacing


def test_whole_or_not_there(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"], "nothing half-written is left behind"


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "file") as file:
        file.write(b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_names_the_file_that_cannot_be_written(tmp_path):
    with (
        pytest.raises(OSError, match=r"cannot write.*missing/file"),
        replacing(tmp_path / "missing" / "file"),
    ):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    real = os.fdopen
    monkeypatch.setattr(
        os,
        "fdopen",
        lambda descriptor, mode: (os.close(descriptor), real(os.open("/dev/full", os.O_WRONLY), mode))[1],
    )
    with pytest.raises(OSError, match="No space left"), replacing(path) as file:
        file.write(b"x" * 100_000)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]
