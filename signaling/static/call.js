// One call: one RTCPeerConnection and the negotiation of it (W3C "perfect negotiation"). No DOM, no WebSocket.

const ANSWER_DEADLINE = 30_000; // ms the other side may ring
const CONNECT_DEADLINE = 15_000; // ms from the answer to the first connection
const RESTART_AFTER = 2_000; // ms without a connection before another path is looked for, and again each time it fails
const LOST_DEADLINE = 30_000; // ms without a connection after which the call is over
const BYE_GRACE = 1_000; // ms in which a bye may still explain why the connection broke
const GATHER_DEADLINE = 2_000; // ms for an answer that must carry all candidates: a dead STUN server costs no more than that
const KEY_DURATION = 160; // ms
const CHANNEL_BACKLOG = 1_000_000; // bytes; chat to a peer that does not read is dropped beyond this

/** A new session id; not crypto.randomUUID, which plain http pages do not have. */
function newSession() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a description says that its sender records the call (RFC 7866). */
function announcesRecording({ sdp }) {
  return /^a=record:on[ \t]*\r?$/m.test(sdp ?? "");
}

// Servers that refused us, told once each: a wrong password shows in the log and not as a call that fails for no reason.
const refusedServers = new Set();

function openConnection(iceServers, onProblem) {
  const options = { bundlePolicy: "max-bundle" };
  try {
    return new RTCPeerConnection({ ...options, iceServers });
  } catch (error) {
    onProblem(`The ICE servers cannot be used (${error.message}); correct them where the server is started`);
    return new RTCPeerConnection(options);
  }
}

export class Call {
  state = "connecting"; // connecting, connected, disconnected, ended
  ended = null; // { by, reason, text }
  answered = false;
  recorded = false; // the other side says that it records what we send
  wasConnected = false;
  #channel = null;
  #share = null; // the transceiver of our screen, kept and reused so that the description does not grow with each share
  #makingOffer = false;
  #ignoreOffer = false;
  #settingAnswer = false;
  #deadline = 0;
  #restart = 0;

  /**
   * `other`: name of the other side. `session`: id given by the caller; none: we are the caller. `trickle` false: our answer must carry all candidates.
   * `media`: see media.js. `polite()`: whether we give way now. `send(message)`: to the other side, the session is added.
   * `on`: { change(), ended(), recorded(), chat(text), problem(text) }.
   */
  constructor({ other, session, trickle = true, iceServers, media, polite, send, on }) {
    this.outgoing = session === undefined;
    this.session = session ?? newSession();
    Object.assign(this, { other, trickle, media, polite, on });
    this.send = (message) => send({ ...message, session: this.session });
    this.pc = openConnection(iceServers, on.problem);
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onicecandidate = ({ candidate }) => this.#candidateFound(candidate);
    this.pc.onicecandidateerror = (event) => this.#serverFailed(event);
    this.pc.onconnectionstatechange = () => this.#connectionChanged();
    this.pc.onsignalingstatechange = () => this.on.change();
    this.pc.ontrack = ({ track }) => {
      track.onmute = track.onunmute = () => this.on.change();
      this.on.change();
    };
    this.pc.ondatachannel = ({ channel }) => this.#open(channel);
    if (this.outgoing) this.#start();
    this.#limit(this.outgoing ? ANSWER_DEADLINE : CONNECT_DEADLINE);
  }

  get live() {
    return this.state !== "ended";
  }

  /** We offered and nobody has answered yet. */
  get ringing() {
    return this.live && this.outgoing && !this.answered;
  }

  get chatOpen() {
    return this.#channel?.readyState === "open";
  }

  /** The videos that come in now: the first is the camera, the others are screens. */
  get videos() {
    if (!this.live) return [];
    const transceivers = this.pc.getTransceivers().filter(({ receiver }) => receiver.track.kind === "video");
    return transceivers
      .map((transceiver, index) => ({ transceiver, main: index === 0, track: transceiver.receiver.track }))
      .filter(({ transceiver }) => /^(sendrecv|recvonly)$/.test(transceiver.currentDirection ?? ""));
  }

  get audios() {
    if (!this.live) return [];
    return this.pc.getReceivers().map(({ track }) => track).filter(({ kind }) => kind === "audio");
  }

  // One audio and one video always, with or without a device of ours, so that the other side need not offer again to send.
  #start() {
    this.#open(this.pc.createDataChannel("chat"));
    for (const kind of ["audio", "video"]) {
      this.pc.addTransceiver(this.media.track(kind) ?? kind, {
        direction: this.media.direction(kind),
        streams: [this.media.stream],
      });
    }
    this.updateShare();
  }

  #transceiver(kind) {
    return this.pc.getTransceivers().find((each) => each !== this.#share && each.receiver.track.kind === kind && each.direction !== "stopped");
  }

  /** Brings what we send up to date with `media`: nothing to negotiate when a device comes late, goes, or changes. */
  updateTracks() {
    if (!this.live) return;
    for (const kind of ["audio", "video"]) {
      const transceiver = this.#transceiver(kind);
      if (!transceiver) continue;
      const track = this.media.track(kind);
      if (transceiver.sender.track !== track) {
        transceiver.sender.replaceTrack(track).catch((error) => this.on.problem(`Cannot send the ${kind}: ${error.message}`));
      }
      const direction = this.media.direction(kind);
      if (transceiver.direction !== direction) transceiver.direction = direction;
    }
  }

  /** Presses keys, as on a telephone (RFC 4733), after those that are still to be pressed; whether the other side takes any. */
  press(keys) {
    const dtmf = this.#transceiver("audio")?.sender.dtmf;
    if (!dtmf?.canInsertDTMF) return false;
    dtmf.insertDTMF(dtmf.toneBuffer + keys, KEY_DURATION);
    return true;
  }

  /** Adds our screen as a second video, or takes it away again; the connection then negotiates by itself. */
  updateShare() {
    if (!this.live || !this.trickle || !this.media.may("publish")) return; // who came by plain HTTP cannot be offered anything
    const stream = this.media.share;
    const track = stream?.getVideoTracks()[0];
    if (!track) {
      if (this.#share?.sender.track) this.pc.removeTrack(this.#share.sender);
    } else if (!this.#share || this.#share.direction === "stopped") {
      this.#share = this.pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    } else {
      this.#share.sender.setStreams(stream);
      this.#share.sender.replaceTrack(track).catch((error) => this.on.problem(`Cannot share: ${error.message}`));
      this.#share.direction = "sendonly";
    }
  }

  async #offer() {
    // A callee has nothing to say before it has answered.
    if (!this.live || (!this.outgoing && !this.answered)) return;
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      if (this.live) this.send({ type: "description", description: this.pc.localDescription });
    } catch (error) {
      if (this.live) this.on.problem(`Cannot offer: ${error.message}`);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** The other side's description: the first offer, its answer, or a later change by either side. */
  async describe(description) {
    const pc = this.pc;
    const ready = !this.#makingOffer && (pc.signalingState === "stable" || this.#settingAnswer);
    this.#ignoreOffer = description.type === "offer" && !ready && !this.polite();
    if (this.#ignoreOffer) return;
    this.#noteRecording(announcesRecording(description)); // told before anything of ours can be received
    try {
      this.#settingAnswer = description.type === "answer";
      await pc.setRemoteDescription(description);
      this.#settingAnswer = false;
      if (!this.live) return;
      if (description.type === "offer") await this.#answer();
      else if (!this.answered) this.#limit(CONNECT_DEADLINE);
      this.answered = true;
      this.on.change();
    } catch (error) {
      this.#settingAnswer = false;
      if (!this.live) return;
      const problem = `The browser refuses the other side's ${description.type}: ${error.message}`;
      if (this.answered) this.on.problem(problem);
      else this.end({ by: "you", reason: "error", text: problem.slice(0, 500) });
    }
  }

  #noteRecording(recorded) {
    if (this.recorded === recorded) return;
    this.recorded = recorded;
    this.on.recorded();
  }

  async #answer() {
    const first = !this.answered;
    if (first) this.#sendOwn();
    await this.pc.setLocalDescription();
    if (!this.trickle) await this.#gathered();
    if (!this.live) return;
    this.send({ type: "description", description: this.pc.localDescription });
    if (first && this.media.share) {
      this.answered = true; // from here on we may offer
      this.updateShare();
    }
  }

  #sendOwn() {
    this.updateTracks();
    for (const kind of ["audio", "video"]) this.#transceiver(kind)?.sender.setStreams(this.media.stream);
  }

  async #gathered() {
    const gathering = new Promise((resolve) => {
      this.pc.onicegatheringstatechange = () => this.pc.iceGatheringState === "complete" && resolve();
      if (this.pc.iceGatheringState === "complete") resolve();
    });
    await Promise.race([gathering, new Promise((resolve) => setTimeout(resolve, GATHER_DEADLINE))]);
  }

  #candidateFound(candidate) {
    // An empty string ends one generation (Firefox says so), null ends all of them: one of the two is enough.
    if (!this.trickle || candidate?.candidate === "") return;
    this.send({ type: "candidate", candidate: candidate?.toJSON() ?? null });
  }

  // 701: not reached from this address; others may do. Everything else is a refusal, and the settings are wrong.
  #serverFailed({ url, errorCode, errorText }) {
    if (errorCode === 701 || refusedServers.has(url)) return;
    refusedServers.add(url);
    this.on.problem(`The ICE server ${url} refuses: ${errorText} (${errorCode}); check its user and password`);
  }

  /** A candidate of the other side; null: that was the last one. */
  async candidate(candidate) {
    try {
      await this.pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // Those of an offer that we ignored fit nothing; they come again with the other side's answer.
      if (this.live && !this.#ignoreOffer) this.on.problem(`Cannot use a candidate: ${error.message}`);
    }
  }

  /** The other side came back to the room: says again what it may have missed. */
  resume() {
    if (this.live && this.pc.signalingState === "have-local-offer") {
      this.send({ type: "description", description: this.pc.localDescription });
    }
  }

  #connectionChanged() {
    if (!this.live) return;
    const state = this.pc.connectionState;
    if (state === "connected") {
      clearTimeout(this.#deadline);
      clearTimeout(this.#restart);
      this.wasConnected = true;
      this.state = "connected";
    } else if (state === "disconnected" || state === "failed") {
      if (this.wasConnected) this.#repair(state);
      else if (state === "failed") {
        // The bye that says why may be on its way; it tells more than "failed".
        clearTimeout(this.#deadline);
        this.#deadline = setTimeout(() => this.end({ by: "network", reason: "failed" }), BYE_GRACE);
      }
    }
    this.on.change();
  }

  // A network that went away comes back, or another takes its place: until the deadline, look for a path again and again.
  #repair(state) {
    if (this.state === "connected") {
      clearTimeout(this.#deadline);
      this.#deadline = setTimeout(() => this.end({ by: "network", reason: "lost" }), LOST_DEADLINE);
    }
    this.state = "disconnected";
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => this.findPath(), state === "failed" ? 0 : RESTART_AFTER);
  }

  /** Takes other ICE servers, for the next time that a path is looked for. */
  useServers(iceServers) {
    if (!this.live) return;
    try {
      this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    } catch (error) {
      this.on.problem(`The ICE servers cannot be used (${error.message}); correct them where the server is started`);
    }
  }

  /** Looks for another path (ICE restart), such as after the network changed. */
  findPath() {
    if (this.live && this.wasConnected && this.trickle) this.pc.restartIce();
  }

  // Without the server no bye comes. The end of DTLS then says that the other side closed the connection on purpose, and
  // it has to be asked for: the connection itself goes on to call itself connected.
  #closedByOther() {
    if (this.live && this.pc.sctp?.transport.state === "closed") this.end({ by: this.other, reason: "hung-up" });
  }

  #limit(milliseconds) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.end(this.answered ? { by: "network", reason: "failed" } : { by: "you", reason: "no-answer" });
    }, milliseconds);
  }

  #open(channel) {
    this.#channel = channel;
    channel.onopen = () => this.on.change();
    channel.onclose = () => {
      setTimeout(() => this.#closedByOther(), BYE_GRACE);
      this.on.change();
    };
    channel.onmessage = ({ data }) => {
      if (typeof data === "string") this.on.chat(data);
      else this.on.problem(`A binary message of ${data.byteLength ?? data.size} bytes was ignored; the page shows text only`);
    };
  }

  /** Sends a chat line; false when the channel is not open or the other side does not read. */
  write(text) {
    if (!this.chatOpen || this.#channel.bufferedAmount > CHANNEL_BACKLOG) return false;
    this.#channel.send(text);
    return true;
  }

  /** Ends the call once; tells the other side unless it was the one who ended it. */
  end({ by, reason, text = "" }, { tell = true } = {}) {
    if (!this.live) return;
    clearTimeout(this.#deadline);
    clearTimeout(this.#restart);
    this.state = "ended";
    this.ended = { by, reason, text };
    if (tell) this.send({ type: "bye", reason, ...(text && { text }) });
    this.pc.close();
    this.#noteRecording(false);
    this.on.ended();
  }
}
