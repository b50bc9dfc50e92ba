"""Frames as RFC 6455 has them: however the bytes are cut, what is no frame of a client, and how much is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, FrameReader, close_frame, frame, unmasked
from tests.harness.examples import examples

MASK = b"\x37\xfa\x21\x3d"


def sent(kind: int, payload: bytes, *, final: bool = True, mask: bytes = MASK) -> bytes:
    """A frame as a client sends it."""
    plain = frame(kind, payload)
    head = plain[: len(plain) - len(payload)]
    return bytes((head[0] & (0xFF if final else 0x7F), head[1] | 0x80)) + head[2:] + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def test_the_example_of_the_standard() -> None:
    """RFC 6455, section 5.7."""
    reader = FrameReader(100)
    assert reader.read(bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")) == [(TEXT, b"Hello")]
    assert frame(TEXT, b"Hello") == bytes.fromhex("81 05 48 65 6c 6c 6f")


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 1023, 1024, 1025, 65535, 65536, 70001])
def test_payloads_of_every_size(size: int) -> None:
    payload = (b"0123456789" * (size // 10 + 1))[:size]
    reader = FrameReader(1 << 20)
    assert reader.read(sent(TEXT, payload)) == [(TEXT, payload)]
    assert unmasked(MASK + masked(payload, MASK)) == payload


messages = st.one_of(
    st.tuples(st.just(TEXT), st.text(max_size=300).map(str.encode)),
    st.tuples(st.just(BINARY), st.binary(max_size=300)),
)
control = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


@given(st.lists(st.one_of(messages, control), max_size=6), st.data())
@examples(100)
def test_however_it_is_cut(said: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Messages in fragments, with control frames between them, in reads of any size."""
    stream, expected = b"", []
    for kind, payload in said:
        masks = st.binary(min_size=4, max_size=4)
        if kind in {PING, PONG}:
            stream += sent(kind, payload, mask=data.draw(masks))
        else:
            cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
            parts = [payload[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
            for at, part in enumerate(parts):
                last = at == len(parts) - 1
                stream += sent(CONTINUATION if at else kind, part, final=last, mask=data.draw(masks))
                if not last and data.draw(st.booleans()):
                    stream += sent(PING, b"between")
                    expected.append((PING, b"between"))
        expected.append((kind, payload))
    reader, found = FrameReader(1 << 16), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.read(stream[:size])
        stream = stream[size:]
    assert found == expected
    assert reader.violation is None


def test_byte_by_byte() -> None:
    reader, payload = FrameReader(1000), b"x" * 300
    found = [message for byte in sent(TEXT, payload) * 2 for message in reader.read(bytes((byte,)))]
    assert found == [(TEXT, payload)] * 2


VIOLATIONS = [
    ("not masked", frame(TEXT, b"x"), 1002),
    ("a reserved bit", b"\xc1" + sent(TEXT, b"x")[1:], 1002),
    ("a reserved kind", sent(3, b"x"), 1002),
    ("a reserved kind of control", sent(11, b"x"), 1002),
    ("a ping in fragments", sent(PING, b"x", final=False), 1002),
    ("a long ping", sent(PING, b"x" * 126), 1002),
    ("a fragment of nothing", sent(CONTINUATION, b"x"), 1002),
    ("a message within another", sent(TEXT, b"x", final=False) + sent(TEXT, b"y"), 1002),
    ("no UTF-8", sent(TEXT, b"\xff"), 1007),
    ("a surrogate", sent(TEXT, b"\xed\xa0\x80"), 1007),
    ("no UTF-8 in fragments", sent(TEXT, b"\xc3", final=False) + sent(CONTINUATION, b"x"), 1007),
    ("too large", sent(TEXT, b"x" * 1001), 1009),
    ("too large in fragments", sent(TEXT, b"x" * 999, final=False) + sent(CONTINUATION, b"xx"), 1009),
    ("too large, of which little has come", b"\x81\xff" + (1 << 62).to_bytes(8), 1009),
    ("half a close code", sent(CLOSE, b"\x03"), 1002),
    ("a close code that may not be sent", sent(CLOSE, (1006).to_bytes(2)), 1002),
    ("a close code of nobody", sent(CLOSE, (2999).to_bytes(2)), 1002),
    ("a reason that is no UTF-8", sent(CLOSE, (1000).to_bytes(2) + b"\xff"), 1007),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in VIOLATIONS], ids=[case[0] for case in VIOLATIONS])
def test_what_is_wrong_ends_the_reading(data: bytes, code: int) -> None:
    reader = FrameReader(1000)
    good = [(TEXT, b"before"), (PONG, b"")]
    assert reader.read(sent(*good[0]) + sent(*good[1]) + data + sent(TEXT, b"behind")) == good
    assert reader.violation is not None
    assert reader.violation.close_code == code
    assert reader.read(sent(TEXT, b"later")) == []


@pytest.mark.parametrize("code", [1000, 1001, 1014, 3000, 4999])
def test_a_close_says_why(code: int) -> None:
    reader = FrameReader(1000)
    assert reader.read(sent(CLOSE, b"")) == [(CLOSE, b"")]
    assert reader.read(sent(CLOSE, code.to_bytes(2) + "wäre".encode())) == [(CLOSE, close_frame(code, "wäre")[2:])]


def test_text_may_be_cut_within_a_character() -> None:
    reader, text = FrameReader(1000), "ä".encode()
    assert reader.read(sent(TEXT, text[:1], final=False)) == []
    assert reader.read(sent(CONTINUATION, text[1:])) == [(TEXT, text)]


@given(st.binary(max_size=200))
@examples(200)
def test_any_bytes_are_read(data: bytes) -> None:
    whole, cut = FrameReader(100), FrameReader(100)
    found = whole.read(data)
    assert [message for byte in data for message in cut.read(bytes((byte,)))] == found
    assert (whole.violation is None) == (cut.violation is None)
