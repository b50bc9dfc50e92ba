"""The ICE agent of one generation (RFC 8445 with trickle, RFC 8838): datagrams and times in, datagrams out. Pure.

Inputs end with `now`. After each of them `packets` gives what is to be sent, `next_timeout` when `timeout` wants to be
called, `state` and `selected` what changed. Every check is a transaction of its own: a repeated one has a new id, so
that any answer tells a round trip time and several are in flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from peer.rtc.ice import checks
from peer.rtc.ice.consent import Consent, Deadlines
from peer.rtc.ice.pairs import DORMANT, CheckList, Pair, PairReport, PairState, report
from peer.rtc.ice.schedule import Schedule
from peer.rtc.ice.selection import Selection
from peer.rtc.ice.stun import Attribute, Class, Message, Method, StunError, parse

if TYPE_CHECKING:
    from collections.abc import Set
    from random import Random

    from peer.rtc.ice.bases import Base
    from peer.rtc.ice.candidate import Candidate, IceParameters
    from peer.rtc.ice.stun import Address

PATIENCE: Final = 10.0
"""How long the answer to a check is waited for."""
MAX_TRANSACTIONS: Final = 1024
"""Checks in flight; the oldest is forgotten for a new one. The pace allows hardly more within PATIENCE."""
MAX_EARLY: Final = 32
"""Ways that checks came before the credentials of the other side did; more are answered but not remembered."""


class _Transaction(NamedTuple):
    pair: Pair
    sent: float
    role: str
    nominating: bool


class _Check(NamedTuple):
    """A check of the other side, authenticated and answered."""

    base: Base
    address: Address
    priority: int
    nominating: bool
    username_fragment: str


class Agent:
    """One generation of one side. `random` gives ids, the tie-breaker and jitter."""

    def __init__(self, local: IceParameters, role: str, random: Random, deadlines: Deadlines | None = None) -> None:
        self.local = local
        self.remote: IceParameters | None = None
        self.state = "new"
        """new, checking, connected, completed, disconnected or failed."""
        self.deadlines = deadlines or Deadlines()
        self.pairs = CheckList()
        self.consent = Consent(self.deadlines)
        self.rejected = 0
        """Requests that named this generation but were not made with its password."""
        self._selection = Selection(self.pairs, self.consent, role, self.deadlines.nomination_window)
        self._schedule = Schedule(self.pairs, self._selection, random)
        self._key = local.password.encode()
        self._checks: checks.Checks | None = None
        self._random = random
        self._tie_breaker = random.getrandbits(64)
        self._now = 0.0
        self._transactions: dict[bytes, _Transaction] = {}
        self._early: dict[tuple[int, Address, str], _Check] = {}
        self._left: frozenset[Address] = frozenset()
        """Where the other side was before: a late check from there counts for nothing."""
        self._out: list[tuple[Base, bytes, Address]] = []

    # Inputs

    def start(self, remote: IceParameters, now: float) -> None:
        """The credentials of the other side: checks begin. Once only."""
        if self.remote is not None:
            return
        self.remote = remote
        self._checks = checks.Checks(self.local, remote)
        if remote.lite:
            self._selection.set_role("controlling")  # RFC 8445 section 6.1.1
        self.consent.start(now)
        self._schedule.search_until(now + self.deadlines.connect_timeout)
        early, self._early = list(self._early.values()), {}
        for check in early:
            if check.username_fragment == remote.username_fragment:
                self._accept(check, now)
        self._run(now)

    def add_base(self, base: Base, now: float) -> None:
        """A local transport address that packets can go out of."""
        self.pairs.add_base(base, self.role)
        self._candidates_changed(now)

    def add_local_candidate(self, candidate: Candidate, base: Base) -> None:
        """What a base is known as to others; only names pairs, as a reflexive candidate is checked as its base."""
        self.pairs.add_local(candidate, base)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        """A candidate of the other side, with an IP address."""
        if candidate.component == 1 and candidate.is_ip:  # component 2 is RTCP, which is multiplexed here
            self.pairs.add_remote(candidate, self.role)
            self._candidates_changed(now)

    def remove_base(self, base: Base, now: float) -> None:
        """A base died: with it go its pairs."""
        self.pairs.remove_base(base)
        self._pairs_lost(now)

    def stun_received(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        """A datagram that begins like STUN. Whatever it is, nothing is raised; false when it changed nothing."""
        try:
            message = parse(data)
        except StunError:
            return False
        if message.method != Method.BINDING:
            return False
        if message.message_class == Class.REQUEST:
            return self._request(base, message, address, now)
        return message.message_class != Class.INDICATION and self._response(base, message, address, now)

    def heard(self, now: float) -> None:
        """Authenticated media arrived."""
        self.consent.media(now)
        if self.state == "disconnected":
            self._run(now)

    def timeout(self, now: float) -> None:
        """The time that `next_timeout` gave has come."""
        self._run(now)

    def give_up(self, now: float) -> None:
        """The caller knows that there can be no path."""
        self.consent.give_up(now)
        self._run(now)

    def left(self, addresses: Set[Address], now: float) -> None:
        """The other side is known to have closed its sockets at these addresses; it checks from others."""
        self._left |= addresses
        self.pairs.remove_remote(addresses)
        self._pairs_lost(now)

    @property
    def role(self) -> str:
        """controlling or controlled."""
        return self._selection.role

    @role.setter
    def role(self, role: str) -> None:
        # Once there is a path only the agents themselves settle it (RFC 8445 section 7.3.1.1).
        if self.selected is None and not (self.remote is not None and self.remote.lite):
            self._selection.set_role(role)

    # Outputs

    @property
    def selected(self) -> Pair | None:
        """The pair that data goes over."""
        return self._selection.selected

    def packets(self) -> list[tuple[Base, bytes, Address]]:
        """What is to be sent now; the caller takes it after every input."""
        out, self._out = self._out, []
        return out

    def next_timeout(self) -> float | None:
        """When `timeout` is to be called if nothing happens before; None: not at all."""
        if self.remote is None:
            return None
        times = (self._schedule.next_time(), self.consent.deadline(self._now), self._selection.window_ends(self._now))
        earliest = min(time for time in times if time is not None)
        return None if earliest == DORMANT else earliest

    def reports(self) -> list[PairReport]:
        return [self._report(pair) for pair in self.pairs]

    def selected_report(self) -> PairReport | None:
        return None if self.selected is None else self._report(self.selected)

    def _report(self, pair: Pair) -> PairReport:
        reason = self._selection.reason if pair is self.selected else None
        return report(pair, self.local.username_fragment, self.role, reason)

    # Checks of the other side

    def _request(self, base: Base, message: Message, address: Address, now: float) -> bool:
        ours, _, theirs = (message.text(Attribute.USERNAME) or "").partition(":")
        if ours != self.local.username_fragment:
            return False
        # RFC 8489 section 9.1.3 would have errors sent; silence is no help to who guesses, and a peer repeats anyway.
        if not message.check_integrity(self._key):
            self.rejected += 1
            return False
        if self.remote is not None and theirs != self.remote.username_fragment:
            return False
        if unknown := message.unknown_required:
            refusal = checks.refusal(message, checks.UNKNOWN_ATTRIBUTE, "Unknown Attribute", self._key, unknown)
            self._out.append((base, refusal, address))
            return True
        conflict = self._conflicts(message)
        if conflict:
            answer = checks.refusal(message, checks.ROLE_CONFLICT, "Role Conflict", self._key)
        else:
            answer = checks.success(message, address, self._key)
        self._out.append((base, answer, address))
        base.proven(address)
        # Where the check came from is known in a conflict too: ours goes there at once, with the role that is right.
        priority = message.number(Attribute.PRIORITY) or 1
        nominating = message.has(Attribute.USE_CANDIDATE) and not conflict
        check = _Check(base, address, priority, nominating, theirs)
        if self.remote is not None:
            self._accept(check, now)
            self._run(now)
        else:
            self._remember(check)
        return True

    def _remember(self, check: _Check) -> None:
        """Until the other side's credentials are known. It repeats its checks: what counts of them is where from."""
        key = id(check.base), check.address, check.username_fragment
        known = self._early.get(key)
        if known is not None:
            self._early[key] = known._replace(nominating=known.nominating or check.nominating)
        elif len(self._early) < MAX_EARLY:
            self._early[key] = check

    def _conflicts(self, message: Message) -> bool:
        """RFC 8445 section 7.3.1.1: whether the other side has to change its role; ours is changed here."""
        theirs = message.number(checks.ROLES[self.role])
        if theirs is None:
            return False
        if (self._tie_breaker >= theirs) == (self.role == "controlling"):
            return True
        self._selection.set_role(checks.other(self.role))
        return False

    def _accept(self, check: _Check, now: float) -> None:
        """The address is one of theirs: a check goes back (RFC 8445 section 7.3.1.4)."""
        if check.address in self._left:
            return
        pair = self.pairs.learn(check.base, check.address, check.priority)
        self._selection.lost(now)  # what was learned long ago may have made room
        if pair is None:
            return
        pair.requests_received += 1
        pair.responses_sent += 1
        if pair is self.selected:
            self.consent.heard(now)
        if check.nominating:
            self._selection.announce(pair, now)
        self._schedule.trigger(pair, now)

    # Answers to our checks

    def _response(self, base: Base, message: Message, address: Address, now: float) -> bool:
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or self._checks is None or not message.check_integrity(self._checks.key):
            return False
        pair = transaction.pair
        # RFC 8445 section 7.2.5.2.1: an answer has to come from where the check went to.
        if pair.base is not base or pair.address != address or not self.pairs.has(pair):
            return False
        del self._transactions[message.transaction_id]
        if message.message_class == Class.ERROR:
            self._refused(transaction, message, now)
        else:
            self._succeeded(transaction, message, now)
        self._run(now)
        return True

    def _succeeded(self, transaction: _Transaction, message: Message, now: float) -> None:
        pair = transaction.pair
        pair.responses_received += 1
        pair.round_trip_time = max(0.0, now - transaction.sent)  # a timer may have been a little ahead of the clock
        pair.total_round_trip_time += pair.round_trip_time
        pair.last_response = now
        pair.unanswered = 0
        pair.state = PairState.SUCCEEDED
        pair.error = None
        pair.base.proven(pair.address)
        self.pairs.relabel(pair, message.mapped_address)
        self._selection.answered(pair, now, nominating=transaction.nominating and transaction.role == self.role)
        self._schedule.answered(pair, now)

    def _refused(self, transaction: _Transaction, message: Message, now: float) -> None:
        pair = transaction.pair
        code, text = message.error or (0, "no error code")
        if code == checks.ROLE_CONFLICT:  # RFC 8445 section 7.2.5.1
            if transaction.role == self.role and not (self.remote is not None and self.remote.lite):
                self._selection.set_role(checks.other(self.role))
                self._tie_breaker = self._random.getrandbits(64)
            if transaction.role != self.role:
                self._schedule.again(pair)
                return
        pair.error = f"{code} {text[:80]}"
        self._schedule.refused(pair, now)

    # What is due

    def _run(self, now: float) -> None:
        """Everything that time or an input may have made due."""
        self._now = now
        if self.remote is None:
            return
        while self._transactions:
            oldest = next(iter(self._transactions))
            if now - self._transactions[oldest].sent < PATIENCE:
                break
            del self._transactions[oldest]
        self._judge(now)
        self._selection.nominate(now)
        for pair in self._schedule.due(now):
            in_use = self.state == "completed" and pair is self.selected and not pair.unanswered
            if in_use and (until := self.consent.vouched_until(now)) > now:
                self._schedule.spared(pair, until)
            else:
                self._check(pair, now)

    def _judge(self, now: float) -> None:
        self.state = self.consent.judge(now)
        nominated = self._selection.nominated
        if self.state == "connected" and nominated is not None and nominated is self.selected:
            self.state = "completed"
        self._schedule.judged(self.state, now, had_path=self.consent.last_heard is not None)

    def _candidates_changed(self, now: float) -> None:
        if self.remote is not None:
            self._schedule.search_until(now + self.deadlines.connect_timeout)
            self._schedule.narrow(now)
            self._run(now)

    def _pairs_lost(self, now: float) -> None:
        self._selection.lost(now)
        if self.remote is not None:
            self._schedule.reconsider(now)
        self._run(now)

    def _check(self, pair: Pair, now: float) -> None:
        assert self._checks is not None
        chosen = pair is self._selection.nominating or pair is self._selection.nominated
        nominating = chosen and self.role == "controlling"
        transaction_id = self._random.getrandbits(96).to_bytes(12, "big")
        priority = checks.check_priority(pair.base.candidate)
        data = self._checks.request(transaction_id, priority, self.role, self._tie_breaker, use_candidate=nominating)
        while len(self._transactions) >= MAX_TRANSACTIONS:
            del self._transactions[next(iter(self._transactions))]
        self._transactions[transaction_id] = _Transaction(pair, now, self.role, nominating)
        self._schedule.sent(pair, now)
        self._out.append((pair.base, data, pair.address))
