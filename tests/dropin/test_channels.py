"""Programs about data channels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import InvalidStateError

from tests.dropin.kit import collected, coming, connect, in_state, negotiate, source, until, within

if TYPE_CHECKING:
    from tests.dropin.kit import Make

BIG = 200_000


async def two_channels(caller: Any, callee: Any, **options: Any) -> tuple[Any, Any]:
    """One channel of a new call, seen from both sides, open."""
    there = coming(callee, "datachannel")
    here = caller.createDataChannel("chat", **options)
    await connect(caller, callee)
    other = await within(there)
    await until(here, "open", lambda: here.readyState == "open")
    return here, other


async def test_messages_go_both_ways_as_they_were_sent(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    sent: list[str | bytes] = ["hello", "", "grüße ✓", b"\x00\xff", b"", "x" * BIG, bytes(BIG)]
    replies: list[str | bytes] = []
    done = asyncio.Event()

    @callee.on("datachannel")
    def on_datachannel(channel: Any) -> None:
        @channel.on("message")
        def on_message(message: str | bytes) -> None:
            channel.send(message)

    channel = caller.createDataChannel("chat")
    assert (channel.readyState, channel.label, channel.id) == ("connecting", "chat", None)

    @channel.on("open")
    def on_open() -> None:
        for message in sent:
            channel.send(message)

    @channel.on("message")
    async def on_reply(message: str | bytes) -> None:
        replies.append(message)
        if len(replies) == len(sent):
            done.set()

    await connect(caller, callee)
    await within(done.wait())
    assert replies == sent


async def test_the_other_side_sees_what_kind_of_channel_it_is(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "lossy": {"ordered": False, "maxRetransmits": 0},
        "timed": {"maxPacketLifeTime": 150},
        "named": {"protocol": "bfcp"},
    }
    here = {label: caller.createDataChannel(label, **these) for label, these in options.items()}
    arriving = collected(callee, "datachannel")
    await connect(caller, callee)
    there = {channel.label: channel for channel in [await within(arriving.get()) for _ in options]}
    assert set(there) == set(options)

    def facts(channel: Any) -> tuple[Any, ...]:
        limits = (channel.maxRetransmits, channel.maxPacketLifeTime)
        return (channel.id, channel.ordered, *limits, channel.protocol, channel.negotiated, channel.readyState)

    for label, channel in here.items():
        await until(channel, "open", lambda channel=channel: channel.readyState == "open")
        assert facts(channel) == facts(there[label])
    assert facts(here["plain"])[1:] == (True, None, None, "", False, "open")
    assert facts(here["lossy"])[1:4] == (False, 0, None)
    assert facts(here["timed"])[1:4] == (True, None, 150)
    assert here["named"].protocol == "bfcp"
    assert len({channel.id for channel in here.values()}) == len(options)


async def test_a_channel_that_may_lose_messages_carries_them(make_caller: Make, make_callee: Make) -> None:
    here, there = await two_channels(make_caller(), make_callee(), ordered=False, maxRetransmits=2)
    arriving = collected(there, "message")
    for number in range(20):
        here.send(str(number))
    assert sorted([int(await within(arriving.get())) for _ in range(20)]) == list(range(20))


async def test_many_messages_keep_their_order(make_caller: Make, make_callee: Make) -> None:
    here, there = await two_channels(make_caller(), make_callee())
    arriving = collected(there, "message")
    for number in range(300):
        here.send(str(number))
    assert [await within(arriving.get()) for _ in range(300)] == [str(number) for number in range(300)]


async def test_a_channel_agreed_upon_beforehand(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    announced = collected(callee, "datachannel")
    here, there = (pc.createDataChannel("agreed", negotiated=True, id=7) for pc in (caller, callee))
    heard_here, heard_there = collected(here, "message"), collected(there, "message")
    opened = [coming(channel, "open") for channel in (here, there)]
    await connect(caller, callee)
    for each in opened:
        await within(each)
    assert (here.id, here.negotiated, there.id, there.negotiated) == (7, True, 7, True)
    here.send("from the caller")
    there.send(b"from the callee")
    assert await within(heard_there.get()) == "from the caller"
    assert await within(heard_here.get()) == b"from the callee"
    assert announced.empty()


@pytest.mark.parametrize("closer", ["creator", "other"])
async def test_either_side_closes_a_channel(make_caller: Make, make_callee: Make, closer: str) -> None:
    caller, callee = make_caller(), make_callee()
    here, there = await two_channels(caller, callee)
    closed = [coming(here, "close"), coming(there, "close")]
    (here if closer == "creator" else there).close()
    for each in closed:
        await within(each)
    assert (here.readyState, there.readyState) == ("closed", "closed")
    for channel in (here, there):
        with pytest.raises(InvalidStateError):
            channel.send("too late")
    assert (caller.connectionState, callee.connectionState) == ("connected", "connected")
    # The connection goes on and carries another one.
    again = coming(callee, "datachannel")
    caller.createDataChannel("second")
    assert (await within(again)).label == "second"


async def test_what_waits_to_be_sent_is_counted(make_caller: Make, make_callee: Make) -> None:
    here, there = await two_channels(make_caller(), make_callee())
    assert (here.bufferedAmount, here.bufferedAmountLowThreshold) == (0, 0)
    here.bufferedAmountLowThreshold = BIG // 2
    low = coming(here, "bufferedamountlow")
    arriving = collected(there, "message")
    here.send(bytes(BIG))
    assert here.bufferedAmount > BIG // 2
    await within(low)
    assert here.bufferedAmount <= BIG // 2
    assert len(await within(arriving.get())) == BIG


async def test_channels_come_up_in_mid_call_from_both_sides(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    first, _ = await two_channels(caller, callee)
    at_caller, at_callee = coming(caller, "datachannel"), coming(callee, "datachannel")
    ours, theirs = caller.createDataChannel("from the caller"), callee.createDataChannel("from the callee")
    assert (await within(at_callee)).label == "from the caller"
    assert (await within(at_caller)).label == "from the callee"
    for channel in (ours, theirs):
        await until(channel, "open", lambda channel=channel: channel.readyState == "open")
    assert len({first.id, ours.id, theirs.id}) == 3


async def test_the_first_channel_comes_with_a_later_offer(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(source("audio"))
    await connect(caller, callee)
    assert (caller.sctp, callee.sctp) == (None, None)
    there = coming(caller, "datachannel")
    here = callee.createDataChannel("late")
    await negotiate(callee, caller)
    arriving = collected(await within(there), "message")
    await until(here, "open", lambda: here.readyState == "open")
    here.send("made it")
    assert await within(arriving.get()) == "made it"


async def test_closing_the_connection_closes_its_channels(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    here, there = await two_channels(caller, callee)
    closed = [coming(here, "close"), coming(there, "close")]
    await callee.close()
    for each in closed:
        await within(each)
    assert (here.readyState, there.readyState) == ("closed", "closed")
    await in_state("closed", caller, callee)


async def test_the_sctp_transport_is_there(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    assert caller.sctp is None
    channel = caller.createDataChannel("any")
    assert channel.transport is caller.sctp
    assert (caller.sctp.state, caller.sctp.port) == ("new", 5000)
    await connect(caller, callee)
    await until(channel, "open", lambda: channel.readyState == "open")
    for pc in (caller, callee):
        assert pc.sctp.state == "connected"
        assert pc.sctp.maxChannels == 65535
        assert pc.sctp.getCapabilities().maxMessageSize > 0
        assert pc.sctp.transport.state == "connected"
        assert pc.sctp.transport.transport.state in ("connected", "completed")
    assert {pc.sctp.transport.transport.role for pc in (caller, callee)} == {"controlling", "controlled"}


async def test_what_no_channel_can_be(make: Make) -> None:
    pc = make()
    with pytest.raises(ValueError, match="maxPacketLifeTime and maxRetransmits"):
        pc.createDataChannel("both", maxPacketLifeTime=1, maxRetransmits=1)
    for number in (None, -1, 65535):
        with pytest.raises(ValueError, match="ID must be in range"):
            pc.createDataChannel("agreed", negotiated=True, id=number)
    pc.createDataChannel("agreed", negotiated=True, id=1)
    with pytest.raises(ValueError, match="already"):
        pc.createDataChannel("again", negotiated=True, id=1)


async def test_what_a_channel_refuses(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    early = caller.createDataChannel("early")
    with pytest.raises(InvalidStateError):
        early.send("not open")
    for amount in (-1, 1 << 32):
        with pytest.raises(ValueError, match="bufferedAmountLowThreshold"):
            early.bufferedAmountLowThreshold = amount
    await connect(caller, callee)
    await until(early, "open", lambda: early.readyState == "open")
    with pytest.raises(ValueError, match="unsupported data type"):
        early.send(5)
    with pytest.raises(ValueError, match="."):
        early.send(bytes(1_000_000))  # more than the other side takes
