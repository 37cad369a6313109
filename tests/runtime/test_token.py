from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dynamo_cli.errors import ResourceMissing, Unauthorized
from dynamo_cli.runtime.redact import redact
from dynamo_cli.runtime.token import load_token


def test_the_first_to_come_writes_it_and_all_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "agg" / "token"
    script = "import sys; from pathlib import Path; from dynamo_cli.runtime.token import load_token as t; "
    script += "print(t(Path(sys.argv[1])).decode())"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    tokens = {process.communicate()[0].strip() for process in processes}
    assert tokens == {load_token(path).decode()}
    assert len(tokens.pop()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["token"]


def test_the_environment_wins(tmp_path: Path) -> None:
    assert load_token(tmp_path / "token", {"DYN_TOKEN": "shared"}) == b"shared"
    assert not (tmp_path / "token").exists()


def test_an_open_file_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "token"
    load_token(path)
    path.chmod(0o640)
    with pytest.raises(Unauthorized, match=f"chmod 600 {path}"):
        load_token(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    load_token(tmp_path / "real")
    (tmp_path / "token").symlink_to(tmp_path / "real")
    with pytest.raises(Unauthorized, match="cannot read the token file"):
        load_token(tmp_path / "token")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").touch(0o600)
    with pytest.raises(Unauthorized, match="is empty"):
        load_token(tmp_path / "token")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    load_token(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(Unauthorized, match="belongs to another user"):
        load_token(path)


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ResourceMissing, Unauthorized), match="the token file"):
        load_token(tmp_path / "file" / "token")


def test_why_it_cannot_be_read_is_not_taken_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unauthorized) as raised:
        load_token(tmp_path / "file" / "token", {})
    assert redact(str(raised.value)) == f"cannot read the token file {tmp_path}/file/token: Not a directory"
