"""The page /doctor in a real browser: each server of the signaling server's list, well and ill, and what to do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from signaling.app import Server
from signaling.messages import IceServer
from signaling.settings import Settings
from tests.harness.coturn import coturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.base import Browser
    from tests.browser.conftest import StartChromium, StartFirefox
    from tests.harness.coturn import Coturn

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def turn() -> Iterator[Coturn]:
    with coturn(names=("127.0.0.1",)) as server:
        yield server


async def examined(browser: Browser, server: Server) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
    """The rows of the table by what they are about, and the sentences."""
    await browser.open(f"{server.url}/doctor")
    await browser.wait_for("peerDoctor.state === 'done'", 30)
    rows = await browser.evaluate("peerDoctor.rows")
    return {row["check"]: row for row in rows}, await browser.evaluate("peerDoctor.sentences")


def credentials(turn: Coturn, *urls: str, password: str | None = None) -> IceServer:
    return IceServer(list(urls), turn.username, password or turn.password)


async def test_good_servers_carry_calls(chromium: StartChromium, turn: Coturn) -> None:
    servers = (IceServer([turn.stun_url]), credentials(turn, turn.url("udp"), turn.url("tcp")))
    async with Server(Settings(port=0, ice_servers=servers)) as server:
        browser = await chromium()
        rows, sentences = await examined(browser, server)
        shown = await browser.evaluate("document.getElementById('checks').innerText")
        complaints = await browser.console()
    assert {row["result"] for row in rows.values()} <= {"ok", "-"}
    assert rows["This browser, direct"]["details"].startswith("host to ")
    assert turn.stun_url in rows
    for transport in ("udp", "tcp"):
        url = turn.url(transport)
        assert rows[url]["details"].startswith("relays at 127.0.0.1:")
        assert rows[f"Call through {url}"]["details"].startswith("relay to ")
        assert f", {transport}, there and back in " in rows[f"Call through {url}"]["details"]
        assert url in shown
    assert [sentence["level"] for sentence in sentences] == ["good"]
    assert sentences[0]["text"] == f"All is well: calls work through {turn.url('udp')}, {turn.url('tcp')}."
    assert complaints == []


async def test_bad_servers_are_told_with_what_to_do(chromium: StartChromium, turn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        wrong = credentials(turn, turn.url("tcp"), password="wrong-battery")
        untrusted = credentials(turn, turn.url("tls"))
        good = credentials(turn, turn.url("udp"))
        async with Server(Settings(port=0, ice_servers=(IceServer([dead]), wrong, untrusted, good))) as server:
            browser = await chromium()
            rows, sentences = await examined(browser, server)
            shown = await browser.evaluate("document.getElementById('sentences').innerText")
            page = await browser.evaluate("document.documentElement.innerHTML")
            assert await browser.evaluate("document.getElementById('state').textContent") == "3 problems"
    assert [rows[url]["result"] for url in (dead, turn.url("tcp"), turn.url("tls"), turn.url("udp"))] == [
        "failed",
        "failed",
        "failed",
        "ok",
    ]
    texts = {sentence["text"] for sentence in sentences if sentence["level"] == "problem"}
    assert f"{turn.url('tcp')}: wrong user or password (401). Correct them on the signaling server." in texts
    assert f"{dead}: no answer within 5 s. Check the server, and that its port can be reached from here." in texts
    (certificate,) = [text for text in texts if text.startswith(turn.url("tls"))]
    assert "does not trust the certificate" in certificate
    assert all(text in shown for text in texts)
    assert "wrong-battery" not in page


async def test_firefox_tells_the_same(firefox: StartFirefox, turn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        wrong = credentials(turn, turn.url("tcp"), password="wrong-battery")
        good = credentials(turn, turn.url("udp"))
        async with Server(Settings(port=0, ice_servers=(IceServer([dead]), wrong, good))) as server:
            rows, sentences = await examined(await firefox(), server)
    assert [rows[url]["result"] for url in (dead, turn.url("tcp"), turn.url("udp"))] == ["failed", "failed", "ok"]
    assert rows[f"Call through {turn.url('udp')}"]["result"] == "ok"
    assert {sentence["text"] for sentence in sentences if sentence["level"] == "problem"} == {
        f"{turn.url('tcp')}: wrong user or password (401). Correct them on the signaling server.",
        f"{dead}: no answer within 5 s. Check the server, and that its port can be reached from here.",
    }


async def test_without_servers_it_says_so_and_examines_again(chromium: StartChromium) -> None:
    async with Server(Settings(port=0)) as server:
        browser = await chromium()
        rows, sentences = await examined(browser, server)
        assert list(rows) == ["This browser, direct"]
        assert [sentence["level"] for sentence in sentences] == ["good", "note"]
        assert sentences[1]["text"].startswith("The server hands out no STUN or TURN server")
        await browser.evaluate("document.getElementById('again').click()")
        assert await browser.evaluate("peerDoctor.state") != "done"
        await browser.wait_for("peerDoctor.state === 'done'", 30)
        roles = await browser.accessibility()
        assert ("button", "Examine again") in roles and ("link", "To the calls") in roles
        assert ("rowheader", "This browser, direct") in roles
    # The server is gone: the page says that, too.
    await browser.evaluate("document.getElementById('again').click()")
    await browser.wait_for("peerDoctor.state === 'done'", 30)
    (sentence,) = await browser.evaluate("peerDoctor.sentences")
    assert sentence == {"level": "problem", "text": "The signaling server does not answer. Check that it runs."}


async def test_the_page_leads_to_it(chromium: StartChromium, server: Server) -> None:
    browser = await chromium()
    await browser.open(server.url)
    await browser.evaluate("document.querySelector('.doctor-link a').click()")
    await browser.wait_for("window.peerDoctor?.state === 'done'", 30)


async def judged(browser: Browser, server: Server, script: str) -> Any:
    """What a script gets of the pure modules."""
    await browser.open(f"{server.url}/doctor")
    return await browser.evaluate(
        f"Promise.all([import('/assets/diagnosis.js'), import('/assets/probes.js')]).then(([d, p]) => {script})"
    )


async def test_networks_are_judged(chromium: StartChromium, server: Server) -> None:
    """What a loopback cannot show: blocked UDP and symmetric NATs, from findings."""
    browser = await chromium()
    silent = "{ ok: false, silent: true, code: 701, text: 'no answer within 5 s', seconds: null, candidate: null }"
    relay = "{ ok: true, silent: false, seconds: 1, candidate: { type: 'relay', address: '192.0.2.1', port: 1 } }"

    def entry(url: str, answer: str) -> str:
        return f"{{ ...p.serverUrls([{{ urls: '{url}' }}])[0], answer: {answer}, call: null }}"

    async def said(servers: str, nat: str = "null") -> list[str]:
        findings = f"{{ servers: [{servers}], direct: null, nat: {nat} }}"
        found: list[dict[str, str]] = await judged(browser, server, f"d.diagnose({findings})")
        return [f"{sentence['level']} {sentence['text']}" for sentence in found]

    blocked, turns = entry("turn:a.example", silent), entry("turns:a.example:443", relay)
    told = await said(f"{blocked}, {turns}")
    assert any(
        text.startswith("note UDP does not get out of this network: calls go through turns:a.example:443")
        for text in told
    )
    told = await said(f"{blocked}, {entry('stun:b.example', silent)}")
    assert any(text.startswith("problem No server answers") for text in told)
    told = await said(
        entry("stun:a.example", "{ ok: true, silent: false, seconds: 1, candidate: null }"), "'symmetric'"
    )
    assert any(text.startswith("problem This NAT is symmetric") for text in told)
    told = await said(turns, "'symmetric'")
    assert any(text.startswith("note This NAT is symmetric") for text in told)
    assert await judged(browser, server, "[p.natOf([]), p.natOf([1, 1]), p.natOf([1, 2])]") == [
        "unknown",
        "endpoint-independent",
        "symmetric",
    ]
    line = "candidate:1 1 udp 1686052607 198.51.100.7 61000 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-id 2"
    assert await judged(browser, server, f"p.parseCandidate({line!r})") == {
        "protocol": "udp",
        "address": "198.51.100.7",
        "port": 61000,
        "type": "srflx",
        "network": "2",
    }
