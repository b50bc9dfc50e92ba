"""Programs that change a call while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dropin.kit import (
    GREEN,
    RED,
    Colour,
    Tone,
    collected,
    coming,
    connect,
    flows,
    in_state,
    negotiate,
    picture,
    sound,
    until,
    within,
)

if TYPE_CHECKING:
    from tests.dropin.kit import Make


either_offers = pytest.mark.parametrize("who", ["caller offers", "callee offers"])


def order(who: str, caller: Any, callee: Any) -> tuple[Any, Any]:
    """Who offers in mid-call, and who answers."""
    return (caller, callee) if who == "caller offers" else (callee, caller)


@either_offers
async def test_pictures_join_a_call_of_sound(make_caller: Make, make_callee: Make, who: str) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Tone())
    callee.addTrack(Tone())
    hearing = coming(callee, "track")
    await connect(caller, callee)
    track = await within(hearing)
    await sound(track)

    offerer, answerer = order(who, caller, callee)
    offerer.addTrack(Colour())
    seeing = coming(answerer, "track")
    await negotiate(offerer, answerer)
    await picture(await within(seeing), RED)
    await sound(track)
    await in_state("connected", caller, callee)
    assert [each.mid for each in offerer.getTransceivers()] == ["0", "1"]
    assert [each.currentDirection for each in offerer.getTransceivers()] == ["sendrecv", "sendonly"]


@either_offers
async def test_the_other_direction_joins(make_caller: Make, make_callee: Make, who: str) -> None:
    """What was one way becomes both ways: on the m-line that is there."""
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    there = coming(callee, "track")
    await connect(caller, callee)
    await picture(await within(there), RED)
    callee.addTrack(Colour(GREEN))
    (transceiver,) = callee.getTransceivers()
    assert (transceiver.direction, transceiver.currentDirection) == ("sendrecv", "recvonly")
    back = coming(caller, "track")
    await negotiate(*order(who, caller, callee))
    assert [each.currentDirection for each in (*caller.getTransceivers(), transceiver)] == ["sendrecv", "sendrecv"]
    await picture(await within(back), GREEN)


@pytest.mark.parametrize("who, held", [("caller offers", "inactive"), ("callee offers", "recvonly")])
async def test_held_and_taken_up_again(make_caller: Make, make_callee: Make, who: str, held: str) -> None:
    caller, callee = make_caller(), make_callee()
    first = caller.addTransceiver(Colour())
    callee.addTrack(Colour(GREEN))
    at_caller, at_callee = coming(caller, "track"), coming(callee, "track")
    await connect(caller, callee)
    track = await within(at_callee)
    await picture(track, RED)
    await picture(await within(at_caller), GREEN)

    first.direction = held
    await negotiate(*order(who, caller, callee))
    (other,) = callee.getTransceivers()
    assert (first.currentDirection, other.currentDirection) == (
        held,
        "inactive" if held == "inactive" else "sendonly",
    )
    assert track.readyState == "live"

    first.direction = "sendrecv"
    first.sender.replaceTrack(Colour((0, 0, 255)))
    await negotiate(*order(who, caller, callee))
    assert (first.currentDirection, other.currentDirection) == ("sendrecv", "sendrecv")
    await picture(track, (0, 0, 255))


async def test_a_channel_joins_a_call_of_pictures(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    seeing = coming(callee, "track")
    await connect(caller, callee)
    there = coming(caller, "datachannel")
    channel = callee.createDataChannel("late")
    await negotiate(callee, caller)
    heard = collected(await within(there), "message")
    await until(channel, "open", lambda: channel.readyState == "open")
    channel.send("hello")
    assert await within(heard.get()) == "hello"
    await picture(await within(seeing), RED)


async def test_a_call_of_channels_gets_sound_and_pictures(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    there = coming(callee, "datachannel")
    channel = caller.createDataChannel("first")
    await connect(caller, callee)
    heard = collected(await within(there), "message")
    for track in (Tone(), Colour()):
        callee.addTrack(track)
        caller.addTrack(type(track)())
    arriving = [collected(pc, "track") for pc in (caller, callee)]
    await negotiate(callee, caller)
    for tracks in arriving:
        for _ in range(2):
            await flows(tracks.get_nowait())
    channel.send("still there")
    assert await within(heard.get()) == "still there"


async def test_an_offer_that_changes_nothing(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.addTrack(Colour())
    channel = caller.createDataChannel("any")
    seeing = collected(callee, "track")
    there = coming(callee, "datachannel")
    await connect(caller, callee)
    track = await within(seeing.get())
    heard = collected(await within(there), "message")
    for offerer, answerer in [(caller, callee), (callee, caller), (caller, callee)]:
        await negotiate(offerer, answerer)
        await picture(track, RED)
    assert seeing.empty()  # no second event for the same track
    assert [each.currentDirection for each in caller.getTransceivers()] == ["sendonly"]
    channel.send("hello")
    assert await within(heard.get()) == "hello"


async def test_both_sides_offer_in_turn(make_caller: Make, make_callee: Make) -> None:
    caller, callee = make_caller(), make_callee()
    caller.createDataChannel("any")
    await connect(caller, callee)
    for offerer, answerer in [(caller, callee), (callee, caller)] * 2:
        offerer.addTransceiver(Colour(), direction="sendonly")
        told = coming(answerer, "track")
        await negotiate(offerer, answerer)
        await picture(await within(told), RED)
    assert [len(pc.getTransceivers()) for pc in (caller, callee)] == [4, 4]
    assert [each.mid for each in caller.getTransceivers()] == [each.mid for each in callee.getTransceivers()]
