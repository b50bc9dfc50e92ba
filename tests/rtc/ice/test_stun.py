"""STUN: the test vectors of RFC 5769, a round trip for every attribute, and bytes from hostile hands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.rtc.ice import stun
from peer.rtc.ice.stun import Attribute, Class, Message, Method, StunError

TRANSACTION = bytes(range(12))

# RFC 5769 section 2.1 to 2.4
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1"
    "51263b36000600096576746a3a683676592020200008 00149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599"
    "fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5"
    "bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)
LONG_TERM = bytes.fromhex(
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f3439396b39"
    "353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a2"
    "8ca89666"
)
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

VALUES = {
    Attribute.USERNAME: "remote:local",
    Attribute.REALM: "example.org",
    Attribute.NONCE: b"\x00\xffnonce",
    Attribute.SOFTWARE: "peer",
    Attribute.PRIORITY: 0x6E0001FF,
    Attribute.ICE_CONTROLLING: 2**64 - 1,
    Attribute.ICE_CONTROLLED: 5,
    Attribute.LIFETIME: 600,
    Attribute.CHANNEL_NUMBER: 0x4000,
    Attribute.REQUESTED_TRANSPORT: 17,
    Attribute.REQUESTED_ADDRESS_FAMILY: 2,
    Attribute.CHANGE_REQUEST: 6,
    Attribute.RESPONSE_PORT: 4242,
    Attribute.EVEN_PORT: 0x80,
    Attribute.NETWORK_COST: 10,
    Attribute.MAPPED_ADDRESS: ("192.0.2.1", 1),
    Attribute.XOR_MAPPED_ADDRESS: ("192.0.2.1", 32853),
    Attribute.XOR_PEER_ADDRESS: ("2001:db8::7", 65535),
    Attribute.XOR_RELAYED_ADDRESS: ("198.51.100.7", 49152),
    Attribute.RESPONSE_ORIGIN: ("192.0.2.2", 3478),
    Attribute.OTHER_ADDRESS: ("2001:db8::8", 3479),
    Attribute.ALTERNATE_SERVER: ("192.0.2.3", 3478),
    Attribute.DATA: b"payload",
    Attribute.PADDING: bytes(61),
}


def read(message: Message, attribute: Attribute) -> object:
    value = VALUES[attribute]
    if isinstance(value, int):
        return message.number(attribute)
    if isinstance(value, str):
        return message.text(attribute)
    return message.address(attribute) if isinstance(value, tuple) else message.get(attribute)


def binding() -> Message:
    return Message(Method.BINDING, Class.REQUEST, TRANSACTION)


def test_the_request_of_rfc_5769() -> None:
    message = stun.parse(REQUEST)
    assert (message.method, message.message_class) == (Method.BINDING, Class.REQUEST)
    assert message.text(Attribute.USERNAME) == "evtj:h6vY"
    assert message.text(Attribute.SOFTWARE) == "STUN test client"
    assert message.number(Attribute.PRIORITY) == 0x6E0001FF
    assert message.number(Attribute.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.check_integrity(PASSWORD)
    assert not message.check_integrity(b"another password of 22")
    assert stun.peek_username(REQUEST) == "evtj"


@pytest.mark.parametrize(
    ("data", "address"), [(RESPONSE_V4, "192.0.2.1"), (RESPONSE_V6, "2001:db8:1234:5678:11:2233:4455:6677")]
)
def test_the_responses_of_rfc_5769(data: bytes, address: str) -> None:
    message = stun.parse(data)
    assert (message.method, message.message_class) == (Method.BINDING, Class.RESPONSE)
    assert message.mapped_address == (address, 32853)
    assert message.check_integrity(PASSWORD)


def test_the_long_term_request_of_rfc_5769() -> None:
    message = stun.parse(LONG_TERM)
    username, realm = message.text(Attribute.USERNAME), message.text(Attribute.REALM)
    assert username == "\u30de\u30c8\u30ea\u30c3\u30af\u30b9" and realm == "example.org"
    assert message.check_integrity(stun.long_term_key(username, realm, "TheMatrIX"))


def test_a_response_is_written_as_rfc_5769_has_it_but_for_its_padding() -> None:
    written = Message(Method.BINDING, Class.RESPONSE, RESPONSE_V6[8:20])
    written.add(Attribute.XOR_MAPPED_ADDRESS, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))
    data = written.encode(PASSWORD, fingerprint=True)
    assert data[20:44] == RESPONSE_V6[36:60]
    assert stun.parse(data).check_integrity(PASSWORD)


@pytest.mark.parametrize("attribute", list(VALUES), ids=lambda attribute: attribute.name)
@pytest.mark.parametrize("key", [None, b"key"], ids=["unsigned", "signed"])
def test_every_attribute_survives_the_wire(attribute: Attribute, key: bytes | None) -> None:
    message = binding().add(attribute, VALUES[attribute]).add(Attribute.DONT_FRAGMENT)
    parsed = stun.parse(message.encode(key, fingerprint=key is not None))
    assert read(parsed, attribute) == VALUES[attribute]
    assert parsed.has(Attribute.DONT_FRAGMENT) and not parsed.has(Attribute.USE_CANDIDATE)
    assert parsed.check_integrity(b"key") == (key is not None)
    assert parsed.unknown_required == []


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("message_class", list(Class))
def test_method_and_class_share_the_type_field(method: Method, message_class: Class) -> None:
    parsed = stun.parse(Message(method, message_class, TRANSACTION).encode())
    assert (parsed.method, parsed.message_class, parsed.transaction_id) == (method, message_class, TRANSACTION)


def test_an_error_has_a_code_and_a_reason() -> None:
    message = Message(Method.ALLOCATE, Class.ERROR, TRANSACTION).add(Attribute.ERROR_CODE, (438, "Stale Nonce"))
    assert stun.parse(message.encode()).error == (438, "Stale Nonce")
    assert binding().error is None


def test_of_a_repeated_attribute_the_first_counts_and_all_addresses_can_be_had() -> None:
    message = binding().add(Attribute.USERNAME, "one").add(Attribute.USERNAME, "two")
    peers = [("192.0.2.1", 1), ("192.0.2.2", 2)]
    for peer in peers:
        message.add(Attribute.XOR_PEER_ADDRESS, peer)
    parsed = stun.parse(message.encode())
    assert parsed.text(Attribute.USERNAME) == "one"
    assert parsed.addresses(Attribute.XOR_PEER_ADDRESS) == peers


def test_what_follows_the_integrity_is_ignored() -> None:
    signed = binding().add(Attribute.USERNAME, "a:b").encode(b"key")
    smuggled = signed + bytes.fromhex("00250000")
    smuggled = smuggled[:2] + (len(smuggled) - 20).to_bytes(2, "big") + smuggled[4:]
    parsed = stun.parse(smuggled)
    assert parsed.check_integrity(b"key")
    assert not parsed.has(Attribute.USE_CANDIDATE)


def test_unknown_attributes_that_must_be_understood_are_told() -> None:
    message = binding()
    message.attributes += [(0x7777, b"1234"), (0xC001, b"1234")]
    assert stun.parse(message.encode()).unknown_required == [0x7777]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute.USERNAME, b"\xff\xfe"),
        (Attribute.PRIORITY, b"\x01"),
        (Attribute.XOR_MAPPED_ADDRESS, b"\x00\x03\x00\x00\x00\x00\x00\x00"),
        (Attribute.XOR_MAPPED_ADDRESS, b"\x00\x01"),
        (Attribute.MAPPED_ADDRESS, b"\x00\x02\x00\x00\x00\x00\x00\x00"),
        (Attribute.ERROR_CODE, b"\x00"),
    ],
)
def test_a_value_that_cannot_be_decoded_is_absent(attribute: Attribute, value: bytes) -> None:
    message = binding()
    message.attributes.append((attribute, value))
    parsed = stun.parse(message.encode())
    assert parsed.text(Attribute.USERNAME) is None
    assert parsed.number(attribute) is None
    assert parsed.address(attribute) is None
    assert parsed.mapped_address is None
    assert parsed.error is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:19],
        REQUEST[:-1],
        REQUEST + b"\0",
        b"\x80" + REQUEST[1:],
        REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:],
        REQUEST[:-1] + b"\0",
        binding().add(Attribute.USERNAME, "x" * 8).encode()[:-4].replace(b"\x00\x0c\x21", b"\x00\x08\x21"),
        binding().encode(b"key")[:20] + b"\x00\x08\x00\x10" + bytes(20),
        binding().encode(fingerprint=True).replace(b"\x00\x08\x21", b"\x00\x0c\x21") + bytes(4),
    ],
)
def test_what_is_broken_is_refused(data: bytes) -> None:
    with pytest.raises(StunError):
        stun.parse(data)


def test_a_message_has_a_limit_in_both_directions() -> None:
    with pytest.raises(StunError):
        binding().add(Attribute.PADDING, bytes(65536)).encode()
    message = binding()
    message.attributes = [(Attribute.USE_CANDIDATE, b"")] * (stun.MAX_ATTRIBUTES + 1)
    with pytest.raises(StunError):
        stun.parse(message.encode())


def test_the_first_byte_tells_stun_from_the_rest() -> None:
    assert [stun.is_stun(byte) for byte in (0, 1, 3, 4, 20, 128)] == [True, True, True, False, False, False]


@given(st.binary(max_size=120))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    read_all(data)
    read_all(REQUEST[:4] + REQUEST[4:20] + data)


@given(
    st.sampled_from([REQUEST, RESPONSE_V4, RESPONSE_V6, LONG_TERM]),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=8),
    st.integers(0, 150),
)
def test_damaged_messages_raise_nothing_else(data: bytes, changes: list[tuple[int, int]], end: int) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        if position < len(damaged):
            damaged[position] = value
    read_all(bytes(damaged))
    cut = damaged[: 20 + end // 4 * 4]
    cut[2:4] = (len(cut) - 20).to_bytes(2, "big")
    read_all(bytes(cut))


def read_all(data: bytes) -> None:
    """Everything that can be asked of a message, if it is one."""
    stun.peek_username(data)
    try:
        message = stun.parse(data)
    except StunError:
        return
    for attribute in Attribute:
        message.get(attribute), message.text(attribute), message.number(attribute)
        message.address(attribute), message.addresses(attribute)
    assert message.error is None or 0 <= message.error[0] < 1000
    assert isinstance(message.check_integrity(b"key"), bool) and message.unknown_required is not None
    assert "Message(" in repr(message)


@given(st.lists(st.tuples(st.integers(0x4000, 0xFFF0).filter(lambda kind: kind != 0x8028), st.binary(max_size=40))))
def test_whatever_is_written_is_read_again(attributes: list[tuple[int, bytes]]) -> None:
    message = binding()
    message.attributes = attributes[: stun.MAX_ATTRIBUTES - 2]
    parsed = stun.parse(message.encode(b"secret", fingerprint=True))
    assert parsed.attributes[:-1] == message.attributes
    assert parsed.check_integrity(b"secret") and not parsed.check_integrity(b"wrong")


@given(st.binary(max_size=100))
def test_a_name_that_is_peeked_at_is_that_of_the_message(username: bytes) -> None:
    message = binding()
    message.attributes = [(Attribute.SOFTWARE, b"odd"), (Attribute.USERNAME, username)]
    peeked = stun.peek_username(message.encode(b"key", fingerprint=True))
    assert peeked is None or peeked == username.partition(b":")[0].decode()
    if username.isascii():
        assert peeked is not None
    assert stun.peek_username(binding().encode()) is None
