// The page: puts the parts together and keeps what is shown up to date.

import { Controls } from "./controls.js";
import { askUser, readAddress, remember, writeAddress } from "./entry.js";
import { publish } from "./hook.js";
import { Media } from "./media.js";
import { Notices } from "./notices.js";
import { Chat, Log } from "./panels.js";
import { Room } from "./room.js";
import { Signaling } from "./signaling.js";
import { StatsReader } from "./stats.js";
import { Tiles } from "./tiles.js";
import { keepToken, readToken, watchToken } from "./token.js";
import { expiryNotice, recordingNotice } from "./words.js";

const MEDIA_HEAD_START = 1_500; // ms that joining waits for the devices; while the user is still being asked, calls begin without
const SILENT_READINGS = 3; // seconds without a byte from somebody who left the room: gone

const find = (id) => document.getElementById(id);

class Page {
  state = "form";
  options = null;
  media = null;
  room = null;
  stats = new Map(); // call -> StatsReader
  #signaling = null;
  #tiles = null;
  #controls = null;
  #renderAsked = false;
  #asked = ""; // which devices were asked for
  #mediaHeadStart = null;
  #tokenRefused = false;

  constructor() {
    this.notices = new Notices(find("notices"));
    this.log = new Log({ list: find("log-lines"), announcer: find("announcer") });
    this.chat = new Chat({ list: find("chat-lines"), form: find("chat-form"), onSend: (text) => this.write(text) > 0 });
  }

  async start() {
    // Another network, or the old one again: calls need not wait until they notice.
    addEventListener("online", () => {
      for (const { call } of this.room?.participants.values() ?? []) call?.findPath();
    });
    watchToken((token) => this.renew(token));
    let options = { ...readAddress(location.search), token: readToken() };
    if (!options.room || !options.name) options = await askUser(options);
    for (;;) {
      this.#openMedia(options);
      await this.#mediaHeadStart;
      const refusal = await this.#join(options);
      if (refusal === null) break;
      this.state = "form";
      options = await askUser(options, refusal, this.#tokenRefused || Boolean(options.token));
    }
  }

  #openMedia({ video, audio, size }) {
    const asked = `${video} ${audio}`;
    if (this.#asked === asked) return;
    this.#asked = asked;
    this.media?.close();
    this.media = new Media({
      video,
      audio,
      size,
      onChange: () => {
        this.room?.updateTracks();
        this.render();
      },
      onShare: () => {
        this.room?.updateShare();
        this.log.add("You", this.media.share ? "share a screen" : "stopped sharing");
        this.render();
      },
      onNotice: (sentence) => {
        this.notices.set("media", sentence);
        this.log.add("You", sentence, "error");
      },
    });
    this.#mediaHeadStart = Promise.race([this.media.open(), new Promise((resolve) => setTimeout(resolve, MEDIA_HEAD_START))]);
  }

  /** Resolves with null when the room is joined, with the server's sentence when it refuses. */
  #join(options) {
    this.options = options;
    return new Promise((resolve) => {
      const url = new URL("ws", location.href.replace(/^http/, "ws"));
      url.search = "";
      this.#signaling = new Signaling({
        url,
        room: options.room,
        name: options.name,
        token: options.token,
        onMessage: (message) => {
          this.#tokenChanged(message);
          this.room.receive(message);
        },
        onState: (state, detail) => {
          if (state === "joined") {
            this.#joined();
            resolve(null);
          }
          if (state === "refused") resolve(detail);
          this.#connectionChanged(state, detail);
        },
      });
      this.room = new Room({
        media: this.media,
        send: (message) => this.#signaling.send(message),
        on: {
          change: () => this.render(),
          log: (who, what, level) => this.log.add(who, what, level),
          recorders: (names) => this.notices.set("recorded", recordingNotice(names)),
          chat: (name, text) => {
            this.chat.add(name, text);
            this.#controls.chatArrived();
          },
        },
      });
      this.#signaling.open();
    });
  }

  #joined() {
    if (this.#tiles) return; // joined again
    remember(this.options);
    keepToken(this.options.token);
    writeAddress(this.options);
    find("title").textContent = this.options.room;
    document.title = `${this.options.room} – ${this.options.name}`;
    const link = new URL(`?${new URLSearchParams({ room: this.options.room })}`, location.href).href;
    this.#tiles = new Tiles({
      root: find("tiles"),
      ownRoot: find("own"),
      link,
      actions: {
        call: (key) => this.room.call(key),
        hangUp: (key) => this.room.hangUp(key),
        dismiss: (key) => this.room.dismiss(key),
      },
      onSilenced: () => this.#askForClick(),
    });
    this.#controls = new Controls(this);
    find("stage").hidden = false;
    setInterval(() => this.#tick(), 1000);
    addEventListener("pagehide", () => this.leave());
    // Shown again from the back/forward cache: everything was closed, so begin anew.
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  }

  #tokenChanged({ type, code, seconds }) {
    if (type === "token-expiring") this.notices.set("token", expiryNotice(seconds));
    if (type === "token-taken" || type === "welcome") this.notices.set("token", null);
    if (type === "error") this.#tokenRefused = /^token-|^forbidden$/.test(code);
    if (type === "error" && ["kicked", "room-closed"].includes(code)) this.room.leave(); // nor in any call
  }

  /** Hands in another access token, before the one so far ends. */
  renew(token) {
    keepToken(token);
    if (this.options) this.options.token = token;
    this.#signaling?.renew(token);
  }

  #connectionChanged(state, detail) {
    const before = this.state;
    this.state = state;
    const words = {
      connecting: "connecting to the server",
      joined: `joined as ${this.options.name}`,
      lost: "server away, trying again",
      refused: "",
    };
    find("connection").textContent = words[state];
    find("connection").dataset.state = state;
    if (state === "lost" && this.#tiles) {
      this.notices.set("connection", "The server does not answer. Calls go on; the page joins again by itself.");
    } else if (state === "refused" && this.#tiles) {
      this.notices.set("token", null);
      this.notices.set("connection", `${detail} Calls go on as long as they last; to come back, open the page anew.`);
    } else if (state === "lost") {
      this.notices.set("connection", "The server does not answer. Check that it runs; the page tries again by itself.");
    } else {
      this.notices.set("connection", null);
    }
    if (state === "lost" && before !== "lost") this.log.add("server", "does not answer; the page tries again by itself", "error");
    if (state === "joined") this.log.add("You", before === "lost" ? "joined the room again" : "joined the room");
    if (detail && state === "refused") this.log.add("server", detail, "error");
  }

  #askForClick() {
    this.notices.set("sound", "Your browser plays no sound yet: click anywhere or press a key.", "info");
    const unsilence = () => {
      this.#tiles.unsilence();
      this.notices.set("sound", null);
      for (const type of ["pointerup", "keydown"]) removeEventListener(type, unsilence);
    };
    for (const type of ["pointerup", "keydown"]) addEventListener(type, unsilence);
  }

  async #tick() {
    const calls = [...this.room.participants.values()].map(({ call }) => call).filter((call) => call?.live);
    for (const call of this.stats.keys()) if (!calls.includes(call)) this.stats.delete(call);
    await Promise.all(calls.map((call) => {
      if (!this.stats.has(call)) this.stats.set(call, new StatsReader());
      return this.stats.get(call).read(call.pc);
    }));
    this.room.reap(({ call }) => (this.stats.get(call)?.silentReadings ?? 0) >= SILENT_READINGS);
    this.render();
  }

  /** Says a chat line to everybody connected; returns how many they are. */
  write(text) {
    const receivers = this.room.write(text);
    this.notices.set("chat", receivers ? null : "Nobody is connected, so the message was not sent. Call somebody first.");
    if (receivers) this.chat.add(this.options.name, text, { own: true });
    return receivers;
  }

  /** Presses keys, as on a telephone, in every call; returns in how many. */
  press(keys) {
    const receivers = this.room.press(keys);
    if (receivers) this.log.add("You", `pressed ${keys}`);
    return receivers;
  }

  /** `what`: true lets the user pick a screen, false ends sharing, a MediaStream is shared as it is. */
  async share(what) {
    try {
      if (what) await this.media.startShare(what === true ? undefined : what);
      else this.media.stopShare();
      this.notices.set("share", null);
    } catch (error) {
      const sentence = error.name === "NotAllowedError"
        ? "No screen was chosen, so nothing is shared. Press “Share” again to choose one."
        : `The screen cannot be shared (${error.message}). Try another window or screen.`;
      this.notices.set("share", sentence);
      this.log.add("You", sentence, "error");
    }
  }

  /** Says goodbye to everybody and closes everything. */
  leave() {
    this.room?.leave();
    this.#signaling?.close();
    this.media?.close();
    this.state = "left";
  }

  /** Redraws once for all changes of one turn. */
  render() {
    if (!this.#tiles || this.#renderAsked) return;
    this.#renderAsked = true;
    // Not requestAnimationFrame: it stands still in background tabs, and sound has to start there too.
    queueMicrotask(() => {
      this.#renderAsked = false;
      const { name } = this.options;
      const own = { name, media: this.media, recorders: this.room.recorders };
      this.#tiles.render({ own, participants: [...this.room.participants.values()], stats: this.stats });
      this.#controls.render();
    });
  }
}

const page = new Page();
publish(page);
page.start();
