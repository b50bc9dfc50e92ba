// Who is here and who is in a call with us: members of the room, one call with each at most. No DOM.
// A call is kept under the participant's *name*: ids are new after each join, names last.

import { Call } from "./call.js";
import { endedSentence } from "./words.js";

const REMEMBERED_SESSIONS = 200; // ended ones, whose late messages are dropped
const GONE_SHOWN = 6; // participants who left, still shown with how their call ended

class Participant {
  id = null; // of the server, new with each join; null: not in the room now
  polite = false;
  can = null; // what its access token allows; null: everything
  call = null; // the present call, or the last one
  constructor(key, name) {
    this.key = key;
    this.name = name;
  }

  get inRoom() {
    return this.id !== null;
  }

  get inCall() {
    return Boolean(this.call?.live);
  }

  get state() {
    if (!this.call) return this.inRoom ? "present" : "gone";
    return this.call.ringing ? "calling" : this.call.state;
  }
}

export class Room {
  participants = new Map(); // key -> Participant
  id = null; // our own, as the server names us
  #iceServers = [];
  #over = new Set();
  #media;
  #send;
  #on;
  #welcomed = false;

  /** `send(message)`: to the server. `on`: { change(), chat(name, text), log(who, what, level), recorders(names) }. */
  constructor({ media, send, on }) {
    this.#media = media;
    this.#send = send;
    this.#on = on;
  }

  /** Takes one message of the server. */
  receive(message) {
    switch (message.type) {
      case "welcome": return this.#welcome(message);
      case "joined": return this.#joined(message.member);
      case "left": return this.#left(message);
      case "description": return this.#description(message);
      case "candidate": return this.#callOf(message)?.candidate(message.candidate);
      case "bye": return this.#bye(message);
      case "message": return this.#on.log(this.#nameOf(message.from), `sent ${JSON.stringify(message.data).slice(0, 200)}`);
      case "ice-servers": return this.#useServers(message.iceServers);
      case "token-taken": return this.#allowed(message.can);
      case "error": return this.#error(message);
    }
  }

  #allowed(can) {
    this.#media.can = can;
    this.updateTracks();
    this.#on.change();
  }

  #useServers(iceServers) {
    this.#iceServers = iceServers;
    for (const { call } of this.participants.values()) call?.useServers(iceServers);
  }

  #mayCall({ can }) {
    return this.#media.may("call") && (can?.includes("be-called") ?? true);
  }

  #welcome({ id, members, iceServers, can = null }) {
    this.#allowed(can);
    this.#useServers(iceServers);
    const first = !this.#welcomed;
    this.#welcomed = true;
    this.id = id;
    for (const participant of this.participants.values()) participant.id = null;
    for (const member of members) {
      const known = this.participants.has(member.name);
      const participant = this.#arrived(member);
      const interrupted = participant.inCall && !participant.call.wasConnected;
      if (interrupted) this.#drop(participant); // its offer or answer was lost with the old connection
      if ((first || !known || interrupted) && this.#mayCall(participant)) this.#call(participant);
    }
    this.#forgetGone();
    this.#on.change();
  }

  #joined(member) {
    if (!this.participants.get(member.name)?.inCall) this.#on.log(member.name, "joined the room");
    this.#arrived(member);
    this.#on.change();
  }

  #arrived({ id, name, polite, can = null }) {
    const participant = this.participants.get(name) ?? new Participant(name, name);
    this.participants.set(name, participant);
    Object.assign(participant, { id, polite, can });
    if (participant.inCall) participant.call.resume();
    return participant;
  }

  #left({ member, reason }) {
    const participant = this.participants.get(member.name);
    if (!participant || participant.id !== member.id) return;
    participant.id = null;
    // Whose network changed is back at once; of whom nothing is heard any more may be back soon: the path decides.
    if (reason === "replaced") return;
    participant.silent = reason === "silent";
    this.#on.log(member.name, reason === "left" ? "left the room" : `left the room (${reason})`);
    // Its media may go on without the server; the rest has no way to come about any more.
    if (participant.inCall && participant.call.state !== "connected" && !(participant.silent && participant.call.wasConnected)) {
      participant.call.end({ by: "network", reason: participant.call.wasConnected ? "lost" : "not-here" });
    }
    this.#forgetGone();
    this.#on.change();
  }

  /** To be called once a second: a participant who left the room and sends nothing any more is gone. */
  reap(silent) {
    for (const participant of this.participants.values()) {
      if (!participant.inCall || participant.inRoom || participant.silent) continue;
      if (participant.call.state === "disconnected" || silent(participant)) {
        participant.call.end({ by: participant.name, reason: "left" });
      }
    }
  }

  // Callers by plain HTTP are not members; their ids begin with "http-" and they get a tile each.
  #caller({ from, name }) {
    for (const participant of this.participants.values()) if (participant.id === from) return participant;
    if (!from.startsWith("http-")) return null;
    const participant = new Participant(`${from} (HTTP)`, name ?? from);
    participant.id = from;
    this.participants.set(participant.key, participant);
    return participant;
  }

  #nameOf(id) {
    for (const participant of this.participants.values()) if (participant.id === id) return participant.name;
    return "somebody";
  }

  #callOf({ from, session }) {
    for (const { id, call } of this.participants.values()) {
      if (id === from && call?.live && call.session === session) return call;
    }
    return null;
  }

  /** Whether we give way to this participant when offers cross. */
  #polite(participant) {
    return participant.polite ? !(this.id < participant.id) : true;
  }

  #description(message) {
    const call = this.#callOf(message);
    if (call) return call.describe(message.description);
    if (message.description.type !== "offer" || this.#over.has(message.session)) return undefined;
    const participant = this.#caller(message);
    if (!participant) return undefined;
    if (participant.inCall) {
      if (participant.call.ringing && !this.#polite(participant)) return this.#forget(message.session);
      if (participant.call.ringing) this.#drop(participant);
      else participant.call.end({ by: participant.name, reason: "replaced" }, { tell: false });
    }
    this.#on.log(participant.name, "calls");
    const incoming = this.#begin(participant, { session: message.session, trickle: message.trickle !== false });
    return incoming.describe(message.description);
  }

  #bye(message) {
    const call = this.#callOf(message);
    this.#forget(message.session);
    call?.end({ by: this.#nameOf(message.from), reason: message.reason, text: message.text }, { tell: false });
  }

  #error({ code, message, to, session }) {
    const call = session && this.#callOf({ from: to, session });
    if (call && code === "unknown-target" && !call.wasConnected) {
      call.end({ by: "network", reason: "not-here" }, { tell: false });
    } else if (call && code === "not-allowed" && !call.wasConnected) {
      call.end({ by: "network", reason: "not-allowed", text: message }, { tell: false });
    } else if (!this.#over.has(session)) {
      this.#on.log("server", message, "error");
    }
  }

  #forget(session) {
    this.#over.add(session);
    if (this.#over.size > REMEMBERED_SESSIONS) this.#over.delete(this.#over.values().next().value);
  }

  #begin(participant, incoming = {}) {
    const on = {
      change: () => this.#on.change(),
      chat: (text) => this.#on.chat(participant.name, text),
      problem: (text) => this.#on.log(participant.name, text, "error"),
      ended: () => this.#ended(participant, call),
      recorded: () => this.#recorded(participant, call),
    };
    const call = new Call({
      ...incoming,
      other: participant.name,
      iceServers: this.#iceServers,
      media: this.#media,
      polite: () => this.#polite(participant),
      send: (message) => participant.inRoom && this.#send({ ...message, to: participant.id }),
      on,
    });
    participant.call = call;
    this.#on.change();
    return call;
  }

  #ended(participant, call) {
    this.#forget(call.session);
    if (participant.call !== call) return;
    const broken = ["error", "failed", "lost"].includes(call.ended.reason);
    this.#on.log(participant.name, `call ended: ${endedSentence(call.ended)}`, broken ? "error" : "info");
    if (participant.id?.startsWith("http-") && participant.key !== participant.name) participant.id = null;
    this.#forgetGone();
    this.#on.change();
  }

  #recorded({ name }, call) {
    if (call.live || call.recorded) this.#on.log(name, call.recorded ? "records what you send" : "no longer records what you send");
    this.#on.recorders(this.recorders);
    this.#on.change();
  }

  /** Names of those who say that they record us. */
  get recorders() {
    return [...this.participants.values()].filter(({ call }) => call?.recorded).map(({ name }) => name);
  }

  /** Ends a call that never came about without a word: another one takes its place. */
  #drop(participant) {
    const { call } = participant;
    participant.call = null;
    call.end({ by: "you", reason: "cancelled" }, { tell: false });
  }

  #call(participant) {
    if (!participant.inRoom || participant.inCall) return;
    this.#on.log(participant.name, "is being called");
    this.#begin(participant);
  }

  /** Calls the participant; nothing when there is a call already. */
  call(key) {
    const participant = this.participants.get(key);
    if (participant && this.#mayCall(participant)) this.#call(participant);
    else if (participant) this.#on.log(participant.name, "may not be called: an access token does not allow it", "error");
  }

  hangUp(key) {
    const call = this.participants.get(key)?.call;
    if (call?.live) call.end({ by: "you", reason: call.ringing ? "cancelled" : "hung-up" });
  }

  hangUpAll() {
    for (const key of this.participants.keys()) this.hangUp(key);
  }

  /** Takes the tile of a participant who is gone away. */
  dismiss(key) {
    const participant = this.participants.get(key);
    if (!participant || participant.inRoom || participant.inCall) return;
    this.participants.delete(key);
    this.#on.change();
  }

  /** Says a chat line to everybody connected; returns how many it was sent to. */
  write(text) {
    return [...this.participants.values()].filter(({ call }) => call?.live && call.write(text)).length;
  }

  /** Presses keys in every call; returns in how many. */
  press(keys) {
    return [...this.participants.values()].filter(({ call }) => call?.live && call.press(keys)).length;
  }

  updateTracks() {
    for (const { call } of this.participants.values()) call?.updateTracks();
  }

  updateShare() {
    for (const { call } of this.participants.values()) call?.updateShare();
  }

  /** The page goes away: tells everybody, closes everything. */
  leave() {
    for (const { call } of this.participants.values()) call?.end({ by: "you", reason: "left" });
  }

  // Who left stays shown while there is something to say about the call: how it ended.
  #forgetGone() {
    const gone = [...this.participants.values()].filter(({ inRoom, inCall }) => !inRoom && !inCall);
    const silent = gone.filter(({ call }) => !call);
    const oldest = gone.filter(({ call }) => call).slice(0, -GONE_SHOWN);
    for (const { key } of [...silent, ...oldest]) this.participants.delete(key);
  }
}
