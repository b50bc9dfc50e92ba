"""The charts are well-formed and show what they are given."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from peer.swarm.charts import BARS, HEIGHT, WIDTH, Line, distribution, nice_step, over_time, tick


def parsed(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure)


def of_class(figure: str, name: str) -> list[ElementTree.Element]:
    return [each for each in parsed(figure).iter() if name in each.get("class", "").split()]


def test_lines_over_time() -> None:
    times = [1.0, 2.0, 3.0, 4.0]
    figure = over_time(
        "<Bots>", "number", times, [Line("a & b", [0, 50, 100, 100]), Line("c", [None, 1, None, 2])], ramp=2.0
    )
    one, *others = [each.get("d") for each in of_class(figure, "line")]
    assert one is not None and one.count("L") == 3 and len(others) == 2, "a hole divides a line"
    assert "".join(parsed(figure).itertext()).startswith("<Bots>a & bc")
    (ramp,) = of_class(figure, "ramp")
    assert 0 < float(ramp.get("width", "0")) < WIDTH / 2 + 1
    y = [float(point.split()[1]) for point in one[1:].split("L")]
    assert y == sorted(y, reverse=True) and all(0 <= each <= HEIGHT for each in y)


def test_one_line_needs_no_legend_and_nothing_no_lines() -> None:
    assert "<i " not in over_time("Loss", "ratio", [1.0], [Line("", [0.5])])
    assert of_class(over_time("Loss", "ratio", [], [Line("", [])]), "line") == []
    assert of_class(over_time("Loss", "ratio", [1.0, 2.0], [Line("", [0.0, 0.0])]), "line") != []


def test_a_distribution() -> None:
    values = [0.1] * 30 + [0.3] * 10 + [0.95]
    figure = distribution("Join", "seconds", values)
    bars = of_class(figure, "bar")
    assert len(bars) == 3 and len(bars) <= BARS
    heights = [float(bar.get("height", "0")) for bar in bars]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.02) and heights[2] > 0
    assert "p50 100 ms" in figure and "p95 300 ms" in figure
    assert [title.text for title in parsed(figure).iter("title")][0] == "83 ms to 125 ms: 30"
    assert of_class(distribution("Nothing", "seconds", []), "bar") == []


@pytest.mark.parametrize(("most", "step"), [(200.0, 50.0), (0.13, 0.05), (39.0, 10.0), (1.0, 0.5), (7.0, 2.0)])
def test_steps_are_round(most: float, step: float) -> None:
    assert nice_step(most, "number") == pytest.approx(step)


def test_there_is_a_step_where_there_is_nothing() -> None:
    for unit in ("seconds", "ratio", "bits per second", "per second", "number"):
        assert nice_step(0.0, unit) > 0  # type: ignore[arg-type]


def test_what_stands_beside_an_axis() -> None:
    assert [tick(value, "seconds") for value in (0, 0.05, 2.0)] == ["0", "50 ms", "2 s"]
    assert [tick(value, "bits per second") for value in (5e5, 2.5e6)] == ["500 kbit/s", "2.5 Mbit/s"]
    assert (tick(0.005, "ratio"), tick(2000, "per second"), tick(50, "number")) == ("0.5 %", "2000/s", "50")
