"""The manifest is what docs/recording-manifest.md and its JSON Schema say; what is none is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.recording.manifest import BadManifest, Manifest, decode, encode, schema

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "recording-manifest.md").read_text()
EXAMPLE = re.search(r"```json\n(.*?)```", TEXT, re.DOTALL)
assert EXAMPLE is not None


def example() -> dict[str, Any]:
    assert EXAMPLE is not None
    value: dict[str, Any] = json.loads(EXAMPLE[1])
    return value


def changed(**fields: object) -> bytes:
    return json.dumps(example() | fields).encode()


def segment(**fields: object) -> bytes:
    return changed(segments=[example()["segments"][0] | fields])


def test_the_schema_in_the_documents_is_the_code_s() -> None:
    assert json.loads((DOCS / "recording-manifest.schema.json").read_text()) == schema()


def test_the_example_has_every_field_and_survives() -> None:
    found = decode(json.dumps(example()).encode())
    assert json.loads(encode(found)) == example()


def test_every_field_is_described() -> None:
    described = TEXT.partition("## Fields")[2]
    for name, definition in schema()["$defs"].items():
        assert f"`{name}`" in described, name
        for field in definition["properties"]:
            assert f"`{field}`" in described, (name, field)


def test_fields_to_come_are_passed_over() -> None:
    assert decode(changed(mood="good")) == decode(changed())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        changed(version=2),
        changed(version=None),
        changed(started="yesterday"),
        changed(state="paused"),
        segment(file="../../etc/passwd"),
        segment(file=".."),
        segment(file="a\\b"),
        segment(file=""),
        segment(bytes=-1),
        segment(sha256="0"),
    ],
    ids=range(14),
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BadManifest):
        decode(data)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes(data: bytes) -> None:
    with pytest.raises(BadManifest):
        decode(data)


def test_names_of_all_scripts() -> None:
    assert isinstance(decode(changed(participant='日本 "🎥\u2028')), Manifest)
