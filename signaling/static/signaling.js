// The WebSocket to the server: joins the room. When the connection was lost it resumes its place: same id, and what was
// missed comes once and in order (docs/protocol.md, "Coming back"). Where that cannot be, it joins again under the same name.
// Calls do not depend on it: media goes on while it is away.

const VERSION = 1;
const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 10_000; // ms
const ACK_EVERY = 32; // messages
const UNACKNOWLEDGED = 256; // messages kept for sending them again; a place that would need an older one is not resumed

// Refusals of the first join that trying again cannot mend. After a first success a taken name is our own ghost, which
// the server has not noticed to be dead yet, and a full room may empty: then we try again.
const REFUSALS = new Set(["name-taken", "room-full", "unsupported-version", "bad-message", "bad-json"]);

// Those that trying again with the same token never mends, also in the middle of everything.
const LASTING = new Set(["token-missing", "token-invalid", "token-expired", "forbidden", "kicked", "room-closed"]);

export class Signaling {
  #socket = null;
  #timer = 0;
  #attempts = 0;
  #everJoined = false;
  #joined = false;
  #closed = false;
  #refusal = null;
  #unsent = false; // something could not be sent since the connection was lost
  #secret = randomText();
  #place = null; // what it takes to come back: { id, got, told, sent, kept }; null: nothing to come back to

  /**
   * `onMessage(message)` gets every message of the server, parsed; after "resumed", whose `complete` says whether
   * nothing was to be sent meanwhile, what was missed.
   * `onState(state, detail)`: "connecting"; "joined"; "lost" (detail: seconds until the next try); "refused" (detail: the
   * server's sentence; nothing more happens after it). `token`: an access token, "" without.
   */
  constructor({ url, room, name, token = "", onMessage, onState }) {
    Object.assign(this, { url, room, name, token, onMessage, onState });
    addEventListener("online", () => this.#retryNow());
  }

  get joined() {
    return this.#joined;
  }

  open() {
    if (this.#closed) return;
    if (!this.#everJoined) this.onState("connecting");
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.onopen = () => (this.#place ? this.#resume(socket) : this.#join(socket));
    socket.onmessage = ({ data }) => this.#receive(socket, data);
    socket.onclose = () => this.#lost(socket);
  }

  /** Sends one message; false when the server is away (the caller decides whether that matters). */
  send(message) {
    if (!this.#joined || this.#socket.readyState !== WebSocket.OPEN) {
      this.#unsent = true;
      return false;
    }
    const place = this.#place;
    if (place) {
      message = { n: ++place.sent, ...message };
      place.kept.push(message);
      if (place.kept.length > UNACKNOWLEDGED) place.kept.shift();
    }
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Hands in another access token; also for the next time that we join. */
  renew(token) {
    this.token = token;
    this.send({ type: "token", token });
  }

  /** Says goodbye and ends for good. */
  close() {
    this.send({ type: "leave" });
    this.#closed = true;
    this.#joined = false;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // our server sends JSON only; whatever this is, it is no reason to lose the room
    }
    if (message.type === "ack") return this.#forget(message.got);
    if (message.type === "resumed") return this.#resumed(socket, message.got);
    if (message.type === "welcome") {
      const { id, grace } = message;
      this.#place = grace ? { id, got: 0, told: 0, sent: 0, kept: [] } : null;
      this.#enter();
    } else if (message.type === "error" && message.code === "cannot-resume" && !this.#joined) {
      this.#place = null;
      return this.#join(socket);
    } else if (message.type === "error" && (LASTING.has(message.code) || (!this.#everJoined && REFUSALS.has(message.code)))) {
      this.#refusal = message.message;
    }
    if (this.#take(message)) this.onMessage(message);
  }

  #join(socket) {
    const { room, name, token } = this;
    const entry = { room, name, polite: true, secret: this.#secret, resume: true, ...(token && { token }) };
    socket.send(JSON.stringify({ type: "join", version: VERSION, ...entry }));
  }

  #resume(socket) {
    const { id, got } = this.#place;
    socket.send(JSON.stringify({ type: "resume", version: VERSION, room: this.room, id, secret: this.#secret, got }));
  }

  #resumed(socket, got) {
    const place = this.#place;
    this.#forget(got);
    if (place.sent - place.kept.length > got) {
      this.#place = null; // more was sent than is kept: join anew
      return socket.close();
    }
    place.told = place.got;
    for (const message of place.kept) socket.send(JSON.stringify(message));
    const complete = !this.#unsent;
    this.#enter();
    return this.onMessage({ type: "resumed", complete });
  }

  #enter() {
    this.#joined = this.#everJoined = true;
    this.#unsent = false;
    this.#attempts = 0;
    this.onState("joined");
  }

  /** Whether a message is new, and not one that came before over the last connection. */
  #take({ n }) {
    const place = this.#place;
    if (!place || n === undefined) return true;
    if (n <= place.got) return false;
    place.got = n;
    if (n - place.told >= ACK_EVERY) {
      place.told = n;
      this.#socket.send(JSON.stringify({ type: "ack", got: n }));
    }
    return true;
  }

  #forget(got) {
    const place = this.#place;
    while (place?.kept.length && place.kept[0].n <= got) place.kept.shift();
  }

  #lost(socket) {
    if (socket !== this.#socket || this.#closed) return;
    this.#joined = false;
    if (this.#refusal) {
      this.#closed = true;
      this.onState("refused", this.#refusal);
      return;
    }
    // Full jitter above a floor, so that the pages of a restarted server do not come back all at once.
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts++);
    const delay = 200 + Math.random() * ceiling;
    this.onState("lost", delay / 1000);
    this.#timer = setTimeout(() => this.open(), delay);
  }

  #retryNow() {
    if (this.#closed || this.#joined || this.#socket?.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.#timer);
    this.open();
  }
}

function randomText() {
  return [...crypto.getRandomValues(new Uint8Array(24))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
