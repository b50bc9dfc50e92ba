// The WebSocket to the server: joins the room, and joins again under the same name when the connection was lost.
// Calls do not depend on it: media goes on while it is away.

const VERSION = 1;
const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 10_000; // ms

// Refusals of the first join that trying again cannot mend. After a first success a taken name is our own ghost, which
// the server has not noticed to be dead yet, and a full room may empty: then we try again.
const REFUSALS = new Set(["name-taken", "room-full", "unsupported-version", "bad-message", "bad-json"]);

// Those that trying again with the same token never mends, also in the middle of everything.
const LASTING = new Set(["token-missing", "token-invalid", "token-expired", "forbidden", "kicked"]);

export class Signaling {
  #socket = null;
  #timer = 0;
  #attempts = 0;
  #everJoined = false;
  #joined = false;
  #closed = false;
  #refusal = null;

  /**
   * `onMessage(message)` gets every message of the server, parsed.
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
    socket.onopen = () => {
      const { room, name, token } = this;
      socket.send(JSON.stringify({ type: "join", version: VERSION, room, name, polite: true, ...(token && { token }) }));
    };
    socket.onmessage = ({ data }) => this.#receive(socket, data);
    socket.onclose = () => this.#lost(socket);
  }

  /** Sends one message; false when the server is away (the caller decides whether that matters). */
  send(message) {
    if (!this.#joined || this.#socket.readyState !== WebSocket.OPEN) return false;
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
    if (message.type === "welcome") {
      this.#joined = this.#everJoined = true;
      this.#attempts = 0;
      this.onState("joined");
    } else if (message.type === "error" && (LASTING.has(message.code) || (!this.#everJoined && REFUSALS.has(message.code)))) {
      this.#refusal = message.message;
    }
    this.onMessage(message);
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
