// The tiles: one for ourselves, one for each participant, one more for each further video (a shared screen).

import { STATE_WORDS, bitrateWords, endedSentence } from "./words.js";

const RATIO = 4 / 3;
const GAP = 12; // px, as in style.css
const SMALLEST = 220; // px; narrower tiles are not made, the grid scrolls instead

/** How many columns make `count` tiles the largest in a box of `width` x `height` pixels. */
export function columnsFor(count, width, height) {
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const byWidth = (width - GAP * (columns - 1)) / columns;
    const byHeight = ((height - GAP * (rows - 1)) / rows) * RATIO;
    const tile = Math.floor(Math.min(byWidth, byHeight));
    if (tile > best.tile) best = { columns, tile };
  }
  if (best.tile >= SMALLEST) return best;
  const columns = Math.max(1, Math.floor((width + GAP) / (SMALLEST + GAP)));
  return { columns, tile: Math.floor((width - GAP * (columns - 1)) / columns) };
}

/** A hue that stays with a name. */
function hue(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  return hash;
}

class Tile {
  #stream = new MediaStream();

  constructor(name, { mirrored = false, silent = false } = {}) {
    this.element = document.querySelector("#tile-template").content.firstElementChild.cloneNode(true);
    this.video = this.#find("video");
    this.video.srcObject = this.#stream;
    this.video.muted = silent;
    this.silent = silent;
    this.element.classList.toggle("mirrored", mirrored);
    this.element.style.setProperty("--hue", hue(name));
    this.#find(".avatar").textContent = [...name][0]?.toUpperCase() ?? "?";
    this.#find(".name").textContent = name;
    this.element.setAttribute("aria-label", name);
    this.video.setAttribute("aria-label", `Video of ${name}`);
    for (const button of this.element.querySelectorAll("button")) button.hidden = true;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  /** Shows exactly these tracks. */
  setTracks(tracks) {
    for (const track of this.#stream.getTracks()) if (!tracks.includes(track)) this.#stream.removeTrack(track);
    for (const track of tracks) if (!this.#stream.getTracks().includes(track)) this.#stream.addTrack(track);
    if (tracks.length && this.video.paused) this.#play();
  }

  // Browsers play no sound before the first click, except on pages that use the microphone: then without sound first.
  #play() {
    this.video.play().catch((error) => {
      if (error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      this.onSilenced?.();
      this.video.play().catch(() => {}); // a picture that comes later starts by `autoplay`
    });
  }

  unsilence() {
    this.video.muted = this.silent;
  }

  setText(selector, text) {
    const element = this.#find(selector);
    if (element.textContent !== text) element.textContent = text;
  }

  setState(state, { picture }) {
    this.element.dataset.state = state;
    this.element.classList.toggle("has-picture", picture);
    this.setText(".state", STATE_WORDS[state] ?? state);
  }

  /** Marks whom a recording is about; `words` say how. */
  setRecording(recording, words) {
    const mark = this.#find(".recording");
    mark.hidden = !recording;
    if (mark.textContent !== words) mark.textContent = words;
  }

  setEnded(sentence) {
    this.setText(".ended-text", sentence);
  }

  /** Shows the button when there is an action for it. */
  setAction(selector, label, action) {
    const button = this.#find(selector);
    button.hidden = !action;
    if (!action) return;
    button.onclick = action;
    button.title = label;
    button.setAttribute("aria-label", label);
  }

  remove() {
    this.video.srcObject = null;
    this.element.remove();
  }
}

export class Tiles {
  #root;
  #ownRoot;
  #tiles = new Map();
  #actions;
  #onSilenced;
  #empty = document.createElement("article");

  /**
   * `root` takes the tiles of the others, `ownRoot` ours. `link`: where to meet us.
   * `actions`: { call(key), hangUp(key), dismiss(key) }. `onSilenced()`: the browser wants a click before it plays sound.
   */
  constructor({ root, ownRoot, actions, onSilenced, link }) {
    this.#root = root;
    this.#ownRoot = ownRoot;
    this.#actions = actions;
    this.#onSilenced = onSilenced;
    this.#fillEmpty(link);
    new ResizeObserver(() => this.#arrange()).observe(root);
  }

  #fillEmpty(link) {
    this.#empty.className = "tile empty";
    const text = document.createElement("p");
    text.textContent = "Nobody else is here yet. Invite somebody with this link:";
    const field = document.createElement("input");
    Object.assign(field, { readOnly: true, value: link });
    field.setAttribute("aria-label", "Link to this room");
    field.onfocus = () => field.select();
    this.#empty.append(text, field);
  }

  /** Brings the tiles up to date. `own`: { name, media, recorders }; `participants`: of the room; `stats`: call -> StatsReader. */
  render({ own, participants, stats }) {
    const wanted = new Set();
    for (const participant of participants) {
      this.#renderMain(participant, stats.get(participant.call), wanted);
      this.#renderScreens(participant, stats.get(participant.call), wanted);
    }
    this.#renderOwn(own, wanted);
    for (const [id, tile] of this.#tiles) {
      if (wanted.has(id)) continue;
      tile.remove();
      this.#tiles.delete(id);
    }
    if (participants.length === 0) this.#root.prepend(this.#empty);
    else this.#empty.remove();
    this.#arrange();
  }

  unsilence() {
    for (const tile of this.#tiles.values()) tile.unsilence();
  }

  #tile(id, wanted, make) {
    wanted.add(id);
    let tile = this.#tiles.get(id);
    if (!tile) {
      tile = make();
      tile.onSilenced = this.#onSilenced;
      this.#tiles.set(id, tile);
      (id.startsWith("own") ? this.#ownRoot : this.#root).append(tile.element);
    }
    return tile;
  }

  #renderMain(participant, reading, wanted) {
    const { key, name, call, state, inRoom, inCall } = participant;
    const tile = this.#tile(`main ${key}`, wanted, () => new Tile(name));
    const main = call?.videos.find((video) => video.main);
    const numbers = main && reading?.videos.get(main.track.id);
    tile.setTracks([...(main ? [main.track] : []), ...(call?.audios ?? [])]);
    tile.setState(state, { picture: Boolean(main) && (numbers?.framesDecoded ?? 0) > 0 });
    tile.setRecording(Boolean(call?.recorded), "records you");
    tile.setText(".numbers", state === "connected" ? this.#numbers(numbers, reading) : "");
    tile.setEnded(call?.ended ? endedSentence(call.ended) : "");
    tile.setAction(".call", `Call ${name}`, inRoom && !inCall && !key.endsWith("(HTTP)") && (() => this.#actions.call(key)));
    tile.setAction(".hang-up", `Hang up the call with ${name}`, inCall && (() => this.#actions.hangUp(key)));
    tile.setAction(".dismiss", `Remove ${name}`, !inRoom && !inCall && (() => this.#actions.dismiss(key)));
  }

  #renderScreens({ key, name, call, state }, reading, wanted) {
    for (const { track } of call?.videos.filter((video) => !video.main) ?? []) {
      const tile = this.#tile(`screen ${key} ${track.id}`, wanted, () => new Tile(`${name}, screen`, { silent: true }));
      const numbers = reading?.videos.get(track.id);
      tile.setTracks([track]);
      tile.setState(state, { picture: (numbers?.framesDecoded ?? 0) > 0 });
      tile.setText(".numbers", this.#numbers(numbers, null));
    }
  }

  #renderOwn({ name, media, recorders }, wanted) {
    const camera = media.track("video");
    const tile = this.#tile("own", wanted, () => new Tile(name, { mirrored: true, silent: true }));
    tile.setTracks(camera ? [camera] : []);
    tile.setState("own", { picture: Boolean(camera) && !media.cameraOff });
    tile.setText(".state", ["you", media.muted && "muted", media.cameraOff && "camera off", !media.wanted("video") && !media.wanted("audio") && "receiving only"].filter(Boolean).join(", "));
    tile.setRecording(recorders.length > 0, "recorded");
    if (!media.share) return;
    const screen = this.#tile("own screen", wanted, () => new Tile(`${name}, screen`, { silent: true }));
    screen.setTracks(media.share.getVideoTracks());
    screen.setState("own", { picture: true });
    screen.setText(".state", "your screen");
  }

  #numbers(video, reading) {
    const parts = [];
    if (video?.width) parts.push(`${video.width}×${video.height}`, `${Math.round(video.fps)} fps`);
    if (reading) parts.push(bitrateWords(reading.bitrate));
    if (video?.codec) parts.push(video.codec);
    return parts.join(" · ");
  }

  #arrange() {
    const { clientWidth, clientHeight } = this.#root;
    if (!clientWidth) return;
    const style = getComputedStyle(this.#root);
    const width = clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const { columns, tile } = columnsFor(this.#root.children.length, width, height);
    this.#root.style.setProperty("--columns", columns);
    this.#root.style.setProperty("--tile", `${tile}px`);
  }
}
