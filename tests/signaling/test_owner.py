"""A room goes on from its journal as it was, also where it has been before."""

from __future__ import annotations

from signaling import messages as m
from signaling.credentials import Grants
from signaling.nodewire import Enter, Expel, Step, pack
from signaling.owner import Owner
from signaling.rooms import Keep, Rooms


def enter(name: str, bearer: str) -> Enter:
    grants = Grants(room="lab", expires=9e9, bearer=bearer)
    return Enter("lab", "one", f"id of {name}", m.Join("lab", name, 1), grants, [])


def test_who_stays_with_the_token_of_one_who_was_sent_away_stays_also_where_the_room_comes_back_to() -> None:
    banned: list[tuple[str, str]] = []
    rooms = Rooms(8, Keep(everybody=True))
    owner = Owner(rooms, banned=lambda room, grants: banned.append((room, grants.bearer)))
    steps = [
        enter("eve", "x"),
        enter("mallory", "x"),
        Expel("lab", "two", "id of eve", "kicked", "Go."),
        enter("z", "x"),
    ]
    for step in steps:
        owner.apply(step, 0.0)
    assert [member.name for member in rooms.members_of("lab")] == ["mallory"]
    assert banned == [("lab", "x")]
    before = rooms.export("lab")
    owner.restore("lab", [pack(Step(0.0, step)) for step in steps])
    assert rooms.export("lab") == before
