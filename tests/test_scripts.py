"""The set-up scripts on machines that lack something: what they install, what they say, when they fail.

The machine is a folder with exactly the programs that a case needs; `apt-get` there only writes down how it was called.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = (
    *("chromium", "chromedriver", "firefox-esr", "Xvfb", "ffmpeg", "turnserver", "redis-server", "janus", "nft"),
    *("ip", "espeak-ng", "npm", "caddy"),
)
SHELL = shutil.which("sh") or "/bin/sh"


class Machine:
    """A PATH of its own."""

    def __init__(self, folder: Path, *, root: bool) -> None:
        self.folder = folder
        self.log = folder / "apt.log"
        self.program("id", f"echo {0 if root else 1000}")

    def program(self, name: str, body: str = ":") -> None:
        path = self.folder / name
        path.write_text(f"#!{SHELL}\n{body}\n")
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [SHELL, str(ROOT / ".ci" / script), *arguments]
        surroundings = {"PATH": str(self.folder), **environment}
        return subprocess.run(
            command, env=surroundings, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False
        )

    def apt(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def root_machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, root=True)
    machine.program("apt-get", f'echo "$@" >> {machine.log}')
    return machine


@pytest.fixture
def user_machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, root=False)
    machine.program("apt-get", f'echo "$@" >> {machine.log}')
    return machine


def test_nothing_happens_when_everything_is_there(root_machine: Machine) -> None:
    for tool in TOOLS:
        root_machine.program(tool)
    result = root_machine.run("system-packages.sh", CI="true")
    assert (result.returncode, result.stdout, result.stderr, root_machine.apt()) == (0, "", "", [])


def test_root_installs_what_is_missing_and_only_that(root_machine: Machine) -> None:
    chromedriver = root_machine.folder / "chromedriver"
    root_machine.program(
        "apt-get",
        f'echo "$@" >> {root_machine.log}; [ "$2" = install ] && : > {chromedriver} && {_executable(chromedriver)}',
    )
    for tool in set(TOOLS) - {"chromedriver"}:
        root_machine.program(tool)
    result = root_machine.run("system-packages.sh", CI="true")
    assert result.returncode == 0, result.stderr
    install = root_machine.apt()[-1].split()
    assert install[1] == "install"
    assert install[-1] == "chromium-driver"
    assert "chromium" not in install


def test_a_failed_update_is_tried_once_more(root_machine: Machine) -> None:
    root_machine.program("apt-get", f'echo "$@" >> {root_machine.log}; exit 1')
    root_machine.run("system-packages.sh")
    assert [line.split()[1] for line in root_machine.apt()] == ["update", "update", "install"]


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_user_is_told_what_to_install_and_ci_fails(
    user_machine: Machine, environment: dict[str, str], code: int
) -> None:
    user_machine.program("ffmpeg")
    result = user_machine.run("system-packages.sh", **environment)
    assert result.returncode == code
    assert "sudo apt-get install chromium chromium-driver firefox-esr xvfb" in result.stderr
    assert user_machine.apt() == []


def test_without_python_a_user_is_told_what_to_install(user_machine: Machine) -> None:
    user_machine.program("python3", "exit 1")  # too old
    result = user_machine.run("make-venv.sh", "venv")
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr


def test_a_named_python_that_is_too_old_is_not_replaced_by_another(user_machine: Machine) -> None:
    user_machine.program("python3.10", "exit 1")
    user_machine.program("python3")
    result = user_machine.run("make-venv.sh", "venv", PYTHON="python3.10")
    assert result.returncode == 1
    assert "python3.10 is not there or older than Python 3.11" in result.stderr


NO_VENV = """
case "$*" in
*ensurepip*) exit 1;;
*print*) echo python3.11-venv;;
*"-m venv"*) echo "$@" >> made;;
esac
"""


def test_a_user_without_the_venv_module_is_told_what_to_install(user_machine: Machine) -> None:
    user_machine.program("python3", NO_VENV)
    result = user_machine.run("make-venv.sh", "venv")
    assert result.returncode == 1
    assert "sudo apt-get install python3.11-venv" in result.stderr


def test_root_installs_the_venv_module(root_machine: Machine) -> None:
    root_machine.program("python3", NO_VENV)
    result = root_machine.run("make-venv.sh", "venv")
    assert result.returncode == 0, result.stderr
    assert root_machine.apt()[-1].split()[-1] == "python3.11-venv"
    assert "venv" in (root_machine.folder / "made").read_text()


def test_an_environment_that_works_is_kept(user_machine: Machine) -> None:
    (user_machine.folder / "venv/bin").mkdir(parents=True)
    (user_machine.folder / "venv/bin/python").symlink_to(sys.executable)
    (user_machine.folder / "venv/mine").touch()
    assert user_machine.run("make-venv.sh", "venv").returncode == 0
    assert (user_machine.folder / "venv/mine").exists()


def test_a_run_that_selects_no_test_fails_and_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    machine.program(".venv/bin/pytest", "exit 5")
    result = machine.run("run-tests.sh", "-k", "nothing")
    assert result.returncode == 5
    assert "No test was selected: look at the arguments (-k nothing)" in result.stderr


def _executable(path: Path) -> str:
    return f"{shutil.which('chmod') or os.devnull} +x {path}"
