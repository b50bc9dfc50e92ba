"""The rules of docs/architecture.md that a machine can check: who imports whom, what is pure, who may be private."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]

PURE = (
    *("signaling/codes.py", "signaling/ice_servers.py", "signaling/messages.py", "signaling/bounds.py"),
    *("signaling/backlog.py", "signaling/delivery.py", "signaling/envelope.py", "peer/continuity.py"),
    *("signaling/edge.py", "signaling/nodewire.py", "signaling/owner.py", "signaling/roomstate.py"),
    *("signaling/dialect.py", "signaling/mdn.py", "signaling/mdnmessages.py", "signaling/peerjs.py"),
    *("signaling/frames.py", "signaling/standin.py", "signaling/seats.py"),
    *("signaling/credentials.py", "signaling/keys.py", "signaling/permissions.py"),
    *("signaling/origins.py", "signaling/rate.py", "signaling/rooms.py"),
    *("signaling/bans.py", "signaling/counters.py", "signaling/forwarded.py", "signaling/admission.py"),
    *("signaling/openapi.py", "signaling/throttle.py"),
    "signaling/sdpfrag.py",
    *("peer/attendance.py", "peer/errors.py", "peer/events.py", "peer/goodbye.py", "peer/negotiation.py"),
    "peer/jsonlogs.py",
    *("peer/report.py", "peer/restarts.py", "peer/segments.py", "peer/rtc/awareness.py", "peer/rtc/ticks.py"),
    *("peer/doctor/callpaths.py", "peer/doctor/diagnosis.py", "peer/doctor/findings.py", "peer/doctor/nat.py"),
    *("peer/doctor/shown.py", "peer/doctor/tcpoffers.py", "peer/rtc/ice/remedies.py"),
    *("peer/media/spec.py", "peer/recording/account.py", "peer/recording/av1.py", "peer/recording/avc.py"),
    *("peer/recording/fmp4.py", "peer/recording/formats.py", "peer/recording/gaps.py", "peer/recording/manifest.py"),
    "peer/recording/mp4file.py",
    *("peer/recording/matroska.py", "peer/recording/names.py", "peer/recording/strand.py", "peer/recording/vp9.py"),
    *("peer/recording/matroskafile.py", "peer/recording/unexplained.py", "peer/recording/wallclock.py"),
    *("peer/rtc/agreement.py", "peer/rtc/assembly.py", "peer/rtc/bandwidth.py", "peer/rtc/clock.py"),
    *("peer/rtc/codecs.py", "peer/rtc/concealment.py", "peer/rtc/describe.py", "peer/rtc/effects.py"),
    *("peer/rtc/dtmf.py", "peer/rtc/freezes.py"),
    *("peer/rtc/header.py", "peer/rtc/history.py", "peer/rtc/outbound.py", "peer/rtc/senderclock.py"),
    *("peer/swarm/charts.py", "peer/swarm/collected.py", "peer/swarm/conditions.py"),
    *("peer/swarm/figures.py", "peer/swarm/histogram.py"),
    *("peer/swarm/html.py", "peer/swarm/metrics.py", "peer/swarm/plan.py", "peer/swarm/report.py"),
    *("peer/swarm/saturation.py", "peer/swarm/style.py", "peer/swarm/wire.py"),
    *("peer/rtc/decimation.py", "peer/rtc/encoded.py", "peer/rtc/ladder.py"),
    *("peer/rtc/arrivalreport.py", "peer/rtc/congestion.py", "peer/rtc/delaybased.py", "peer/rtc/outgoing.py"),
    *("peer/rtc/acknowledged.py", "peer/rtc/pacer.py", "peer/rtc/probing.py", "peer/rtc/sentpackets.py"),
    *("peer/rtc/jitter.py", "peer/rtc/jsep.py", "peer/rtc/layers.py", "peer/rtc/nack.py", "peer/rtc/numbering.py"),
    *("peer/rtc/packet.py", "peer/rtc/payload/*.py", "peer/rtc/playout.py", "peer/rtc/slots.py"),
    *("peer/rtc/router.py", "peer/rtc/rtp.py", "peer/rtc/sdp.py", "peer/rtc/stats.py", "peer/rtc/textaccount.py"),
    *(
        "peer/rtc/transport_section.py",
        "peer/rtc/transportwide.py",
        "peer/rtc/ice/agent.py",
        "peer/rtc/ice/candidate.py",
    ),
    *("peer/rtc/ice/checks.py", "peer/rtc/ice/consent.py", "peer/rtc/ice/explain.py", "peer/rtc/ice/framing.py"),
    *("peer/rtc/ice/pairs.py", "peer/rtc/ice/publicip.py", "peer/rtc/ice/schedule.py"),
    *("peer/rtc/ice/selection.py", "peer/rtc/ice/servers.py", "peer/rtc/ice/stun.py", "peer/rtc/ice/turn.py"),
    *("peer/rtc/ice/turnpeers.py", "peer/rtc/ice/turnrequest.py"),
)
"""Files that think and do nothing else: no asyncio, no I/O, no clock, no chance; `now` is an argument."""

IMPURE = frozenset(
    "aiohttp aioice aiortc asyncio av concurrent cv2 http multiprocessing os pathlib queue random secrets select "
    "selectors shutil signal socket ssl subprocess tempfile threading time urllib.request uvloop".split()
)

COMPOSITION = "peer/hosting.py"
"""The one file of `peer` that runs the server too: for `peer serve`, `peer demo` and `peer.run`."""

SHARED = {"signaling.messages", "signaling.sdpfrag"}

ENGINE = "peer/rtc/dtls.py"
"""The only file that may use private names of aiortc. aioice is used by nobody here: ICE is our own."""

HEAVY = ("aiohttp", "aioice", "aiortc", "av", "cv2", "numpy", "signaling.app")
"""What `import peer` and `peer --help` must not load: they have to be there at once."""


def sources(*patterns: str, but: str | None = None) -> list[Path]:
    """The files that match; each pattern has to, and `but` has to be one of them, which is left out."""
    found = [list(ROOT.glob(pattern)) for pattern in patterns]
    assert all(found)
    paths = {path for some in found for path in some}
    if but is not None:
        paths.remove(ROOT / but)
    return sorted(paths)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def imported(path: Path) -> set[str]:
    """Absolute names of the modules (and of what is taken from them) that the file imports, wherever it does so.

    What only type checkers see (`if TYPE_CHECKING:`) does not count.
    """
    return _imported(path.read_text(), name(path))


def _imported(text: str, path: str) -> set[str]:
    package = path.split("/")[:-1]
    found: set[str] = set()
    for node in statements(parsed(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement at any depth, but what only type checkers see; expressions, most of a tree, are passed over."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from statements(other)
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from statements(child)


def comes_from(imported_name: str, modules: set[str] | frozenset[str]) -> bool:
    return any(imported_name == module or imported_name.startswith(module + ".") for module in modules)


def private_names(text: str, library: str) -> set[str]:
    """Private names that the file imports from the library, or reaches through a name imported from it."""
    if library not in text:
        return set()
    tree = parsed(text)
    local: set[str] = set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            local.update(
                (alias.asname or alias.name).split(".")[0]
                for alias in node.names
                if alias.name.split(".")[0] == library
            )
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == library:
            local.update(alias.asname or alias.name for alias in node.names)
            found.update(alias.name for alias in node.names if _private(alias.name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr):
            root = node.value
            while isinstance(root, ast.Attribute | ast.Call):
                root = root.value if isinstance(root, ast.Attribute) else root.func
            if isinstance(root, ast.Name) and root.id in local:
                found.add(node.attr)
    return found


def foreign_private_names(text: str) -> set[str]:
    """Private attributes of anything but `self`, `cls` and the file's own classes and functions."""
    nodes = list(ast.walk(parsed(text)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and _private(node.attr)]
    own = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    return {node.attr for node in attributes} - own


def says_pure(text: str) -> bool:
    """Whether the first line of the file's docstring says so."""
    first = (ast.get_docstring(parsed(text)) or "").split("\n")[0]
    return first.startswith("Pure") or re.search(r"[.:] Pure\.?$", first) is not None


def _private(text: str) -> bool:
    return text.startswith("_") and not (text.startswith("__") and text.endswith("__"))


def offences(paths: list[Path], judge: Callable[[Path], set[str]]) -> dict[str, set[str]]:
    """What `judge` holds against each file, of those against which there is something."""
    return {name(path): found for path in paths if (found := judge(path))}


def test_peer_takes_only_the_shared_vocabulary_from_signaling() -> None:
    def taken(path: Path) -> set[str]:
        own = {module for module in imported(path) if comes_from(module, {"signaling"})}
        return {module for module in own if not comes_from(module, SHARED)}

    assert offences(sources("peer/**/*.py", but=COMPOSITION), taken) == {}


def test_signaling_never_touches_media() -> None:
    forbidden = {"peer", "aiortc", "aioice", "av", "cv2", "numpy"}

    def taken(path: Path) -> set[str]:
        return {module for module in imported(path) if comes_from(module, forbidden)}

    assert offences(sources("signaling/**/*.py"), taken) == {}


def test_pure_files_do_no_io_and_know_no_time() -> None:
    assert offences(sources(*PURE), impurities) == {}


def impurities(path: Path) -> set[str]:
    """Modules, calls and coroutines of the file that think and do something else."""
    forbidden_calls = {"open", "print", "input", "datetime.now", "datetime.datetime.now", "datetime.utcnow"}
    taken = {module for module in imported(path) if not module.startswith("pathlib.Pure")}
    nodes = list(ast.walk(parsed(path.read_text())))
    # Only names and what is reached through them: writing out what else is called takes long.
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    calls = {ast.unparse(function) for function in called if isinstance(function, ast.Name | ast.Attribute)}
    coroutines = {f"async def {node.name}" for node in nodes if isinstance(node, ast.AsyncFunctionDef)}
    return {module for module in taken if comes_from(module, IMPURE)} | calls & forbidden_calls | coroutines


def test_what_says_that_it_is_pure_is_checked() -> None:
    said = {path for path in sources("peer/**/*.py", "signaling/**/*.py") if says_pure(path.read_text())}
    assert {name(path) for path in said - set(sources(*PURE))} == set()


def test_nobody_uses_the_other_ice() -> None:
    def taken(path: Path) -> set[str]:
        return {module for module in imported(path) if comes_from(module, {"aioice"})}

    assert offences(sources("peer/**/*.py", "signaling/**/*.py"), taken) == {}


def test_private_names_of_the_engine_are_in_one_file() -> None:
    def reached(path: Path) -> set[str]:
        text = path.read_text()
        found = private_names(text, "aiortc")
        if any(comes_from(module, {"aiortc"}) for module in imported(path)):
            # What was imported may sit in any variable: a file that works with the engine touches no foreign private
            # name.
            found |= foreign_private_names(text)
        return found

    assert offences(sources("peer/**/*.py", "signaling/**/*.py", but=ENGINE), reached) == {}


@pytest.mark.parametrize("module", ["peer", "peer.errors", "signaling", "signaling.messages"])
def test_importing_is_cheap(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert loaded.stdout.split() == []


def test_the_checks_see_what_they_are_for() -> None:
    text = "import a.b\nfrom . import rooms\nfrom .messages import Join as J\nfrom c import d\n"
    unseen = "if TYPE_CHECKING:\n    import e\nelse:\n    import f\n"
    deep = (
        "def f():\n try:\n  import g\n except E:\n  import h\n finally:\n  import i\n"
        "match x:\n case 1:\n  with y:\n   import j\n"
    )
    found = _imported(text + unseen + deep, "signaling/app.py")
    assert found == {"a.b", "signaling.rooms", "signaling.messages.Join", "c.d", *"fghij"}
    reaching = (
        "from aioice import ice, Connection as C\nimport aiortc\nice._x; C()._y; aiortc.a.b._z; other._w; ice.__name__"
    )
    assert private_names(reaching, "aioice") == {"_x", "_y"}
    assert private_names(reaching, "aiortc") == {"_z"}
    assert private_names("from aioice.ice import _mdns", "aioice") == {"_mdns"}
    assert foreign_private_names("class A:\n    def f(self, pc):\n        self._own = pc._theirs; pc._own") == {
        "_theirs"
    }


def test_a_file_says_that_it_is_pure_in_its_first_line() -> None:
    assert says_pure('"""Does this, and that. Pure.\n\nMore."""') and says_pure('"""Pure."""')
    assert not says_pure('"""Does this.\n\nIts parser is in `parser`, which is pure."""') and not says_pure("x = 1")


def test_no_source_file_grows_beyond_reading() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in sources("peer/**/*.py", "signaling/**/*.py")}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
