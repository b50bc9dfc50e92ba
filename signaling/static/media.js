// Our camera, microphone and screen: opened once, shared by all calls.

import { mediaNotice } from "./words.js";

const DEFAULT_SIZE = { width: 640, height: 480 };
const FRAME_RATE = 30;

export class Media {
  /** The stream that our tracks are announced under, in every call; also what the own tile shows. */
  stream = new MediaStream();
  share = null; // the MediaStream of our screen while it is shared
  muted = false;
  cameraOff = false;
  can = null; // what our access token allows; null: everything
  #asking = new Set();
  #size;

  /**
   * `video`, `audio`: whether to ask for them. `size`: { width, height } asked of the camera.
   * `onChange()`: tracks came, went or changed; `onShare()`: sharing began or ended; `onNotice(sentence | null)`.
   */
  constructor({ video, audio, size = DEFAULT_SIZE, onChange, onShare, onNotice }) {
    if (audio) this.#asking.add("audio");
    if (video) this.#asking.add("video");
    this.#size = size;
    Object.assign(this, { onChange, onShare, onNotice });
  }

  track(kind) {
    return this.stream.getTracks().find((track) => track.kind === kind) ?? null;
  }

  /** Whether to negotiate sending this kind: there is a track, or the user is still being asked for it. */
  wanted(kind) {
    return this.may("publish") && (this.#asking.has(kind) || this.track(kind) !== null);
  }

  /** Whether our access token allows this. */
  may(right) {
    return this.can?.includes(right) ?? true;
  }

  /** Which way this kind goes in our descriptions. */
  direction(kind) {
    if (this.may("receive")) return this.wanted(kind) ? "sendrecv" : "recvonly";
    return this.wanted(kind) ? "sendonly" : "inactive";
  }

  /** Asks for the devices; ends when it is known what there is. Never throws: what is missing is told by `onNotice`. */
  async open() {
    const kinds = [...this.#asking];
    if (kinds.length === 0) return;
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#missing("insecure", kinds);
    } else {
      const error = await this.#ask(kinds);
      // One of the two may be there: a machine with a microphone and no camera still talks. After a refusal we do not ask twice.
      if (error && kinds.length > 1 && error !== "NotAllowedError") await this.#askEach(kinds, error);
      else if (error) this.#missing(error, kinds);
    }
    this.#asking.clear();
    this.onChange();
  }

  async #ask(kinds) {
    const { width, height } = this.#size;
    const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: FRAME_RATE } };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: kinds.includes("audio"),
        video: kinds.includes("video") && video,
      });
      for (const track of stream.getTracks()) this.#add(track);
      return null;
    } catch (error) {
      return error.name;
    }
  }

  async #askEach(kinds, firstError) {
    const missing = [];
    let reason = firstError;
    for (const kind of kinds) {
      const error = await this.#ask([kind]);
      if (error) {
        missing.push(kind);
        reason = error;
      }
    }
    if (missing.length) this.#missing(reason, missing);
  }

  #add(track) {
    track.enabled = !(track.kind === "audio" ? this.muted : this.cameraOff);
    track.onended = () => {
      this.stream.removeTrack(track);
      this.#missing("ended", [track.kind]);
      this.onChange();
    };
    this.stream.addTrack(track);
  }

  #missing(error, kinds) {
    const receiveOnly = this.stream.getTracks().length === 0;
    this.onNotice(mediaNotice(error, kinds.length > 1 ? "both" : kinds[0], { receiveOnly }));
  }

  setMuted(muted) {
    this.muted = muted;
    const track = this.track("audio");
    if (track) track.enabled = !muted;
    this.onChange();
  }

  /**
   * Camera off sends black frames (`track.enabled`) rather than nothing (`replaceTrack(null)`): the others see black and
   * not our last picture for ever, their recordings keep an unbroken video, nobody takes the silence for a broken
   * connection, and on again needs no new permission, no new bandwidth probing and no negotiation.
   */
  setCameraOff(cameraOff) {
    this.cameraOff = cameraOff;
    const track = this.track("video");
    if (track) track.enabled = !cameraOff;
    this.onChange();
  }

  get canShare() {
    return Boolean(navigator.mediaDevices?.getDisplayMedia);
  }

  /** Shares a screen that the user picks, or the given stream. */
  async startShare(stream) {
    if (this.share) return;
    const share = stream ?? (await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: FRAME_RATE } }));
    const [track] = share.getVideoTracks();
    if ("contentHint" in track) track.contentHint = "detail";
    track.addEventListener("ended", () => this.stopShare()); // the browser's own "stop sharing"
    this.share = share;
    this.onShare();
  }

  stopShare() {
    if (!this.share) return;
    const tracks = this.share.getTracks();
    this.share = null;
    this.onShare();
    for (const track of tracks) track.stop();
  }

  close() {
    for (const track of [...this.stream.getTracks(), ...(this.share?.getTracks() ?? [])]) track.stop();
  }
}
