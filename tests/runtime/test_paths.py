from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dynamo_cli.errors import DynamoError, ResourceMissing, UsageError
from dynamo_cli.runtime.paths import COUNTS_SUFFIX, DeploymentPaths, dynamo_home


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DYNAMO_HOME", str(tmp_path / "here"))
    assert dynamo_home() == tmp_path / "here"
    monkeypatch.delenv("DYNAMO_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert dynamo_home() == tmp_path / "dynamo"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dynamo_home() == tmp_path / ".local" / "state" / "dynamo"


def test_ensure_makes_private_directories_twice(clean_environment: Path) -> None:
    paths = DeploymentPaths("agg")
    for _ in range(2):
        paths.ensure()
    for directory in (paths.root, paths.logs, paths.discovery, paths.runtime_dir):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert (paths.root / "run").resolve() == paths.runtime_dir.resolve()
    assert paths.runtime_dir.is_relative_to(clean_environment)


@pytest.mark.parametrize("name", ["", "Agg", "-agg", "a/b", "..", "a b", "x" * 41])
def test_odd_deployment_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="deployment name"):
        DeploymentPaths(name)


def test_deployments_and_homes_have_sockets_of_their_own(tmp_path: Path) -> None:
    directories = {DeploymentPaths(name, tmp_path / home).runtime_dir for name in ("a", "b") for home in ("x", "y")}
    assert len(directories) == 4


def test_socket_paths_stay_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    paths = DeploymentPaths("agg")
    assert paths.runtime_dir.parent == Path("/tmp")
    for socket in (paths.control_socket, paths.admin_socket("decode-0"), paths.admin_socket("x" * 200)):
        assert len(str(socket)) <= 100
    assert paths.admin_socket("x" * 200) != paths.admin_socket("x" * 199)
    assert str(os.getpid()) in paths.admin_socket("").name


def test_a_runtime_directory_of_someone_else_is_refused(tmp_path: Path) -> None:
    paths = DeploymentPaths("agg", tmp_path)
    paths.runtime_dir.symlink_to(tmp_path)
    with pytest.raises(DynamoError, match="not a directory of this user"):
        paths.ensure()


def test_an_open_runtime_directory_is_closed(tmp_path: Path) -> None:
    paths = DeploymentPaths("agg", tmp_path)
    paths.runtime_dir.mkdir(mode=0o755)
    paths.ensure()
    assert stat.S_IMODE(paths.runtime_dir.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceMissing, match=r"cannot create .*: Not a directory"):
        DeploymentPaths("agg", tmp_path / "file").ensure()


def test_tidy_removes_the_directory_of_the_sockets_with_its_last_user(clean_environment: Path) -> None:
    paths = DeploymentPaths("local")
    paths.ensure()
    ours = paths.runtime_dir / f"pid-{os.getpid()}.sock"
    ours.touch()
    (paths.runtime_dir / f"pid-{2**22 + 1}.sock").touch()
    paths.tidy()
    assert [file.name for file in paths.runtime_dir.iterdir()] == [ours.name]
    ours.unlink()
    paths.tidy()
    assert not paths.runtime_dir.exists()
    assert not (paths.root / "run").is_symlink()


def test_tidy_removes_everything_when_all_has_ended(clean_environment: Path) -> None:
    paths = DeploymentPaths("agg")
    paths.ensure()
    (paths.runtime_dir / "llama-x").mkdir()
    (paths.runtime_dir / "decode-0.sock").touch()
    paths.tidy(all_ended=True)
    assert not paths.runtime_dir.exists()


def test_what_frontends_counted_goes_with_the_last_socket(clean_environment: Path) -> None:
    paths = DeploymentPaths("one")
    paths.ensure()
    socket, counts = paths.admin_socket("worker-0"), paths.runtime_dir / f"frontend-0{COUNTS_SUFFIX}"
    for file in (socket, counts, paths.runtime_dir / f"{counts.name}~"):
        file.touch()
    paths.tidy()
    assert counts.exists()
    socket.unlink()
    paths.tidy()
    assert not paths.runtime_dir.exists()
