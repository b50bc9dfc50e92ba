"""What the documents point at is there: files, headings, and the names in the code they say do a thing."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
SOURCE_PATH = re.compile(r"`((?:peer|signaling|tests|examples|bench|docs|scripts)/[\w./-]*)`")


def links(document: Path) -> list[tuple[str, str]]:
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [(match["text"], match["target"]) for match in LINK.finditer(prose)]


def headings(document: Path) -> set[str]:
    """The anchors that a document's headings make."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def defines(source: str, name: str) -> bool:
    """Whether the Python text defines `name`, which may be `Class.method`."""
    body: list[ast.stmt] = parsed(source).body
    for part in name.split("."):
        found = [
            node
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part
        ]
        if not found:
            return False
        body = found[0].body
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for text, target in links(document):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (anchor and anchor not in headings(there)):
            broken.append((text, target))
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_is_where_the_document_says(document: Path) -> None:
    wrong = []
    for text, target in links(document):
        if not (text.startswith("`") and target.endswith((".py", ".js"))):
            continue
        source, name = (document.parent / target).resolve(), text.strip("`")
        found = source.exists() and (
            defines(source.read_text(), name) if target.endswith(".py") else name in source.read_text()
        )
        if not found and not source.name == Path(name).name:
            wrong.append((text, target))
    assert wrong == []


def test_what_everybody_can_and_cannot_is_shown_by_tests() -> None:
    """Of each row; that the tests exist is checked with all links."""
    text = (ROOT / "docs" / "threat-model.md").read_text()
    table = text.partition("| who | can | cannot | tests |\n")[2].partition("\n\n")[0].splitlines()[1:]
    rows = {line.split("|")[1].strip(): line.split("|")[-2] for line in table}
    for who in ("a stranger", "a member", "a stolen token", "a compromised TURN secret"):
        assert any(f"**{who}**" in row for row in rows)
    assert [
        who for who, tests in rows.items() if not re.search(r"\[`test_\w+`\]\(\.\./tests/[\w/]+\.py\)", tests)
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    assert {path for path in SOURCE_PATH.findall(document.read_text()) if not (ROOT / path).exists()} == set()


def test_the_checks_see_what_they_are_for() -> None:
    source = "class A:\n    async def b(self): ...\ndef c(): ..."
    assert [defines(source, name) for name in ("A", "A.b", "c", "b", "A.c")] == [True, True, True, False, False]
