// The bar of buttons and the side that slides in on phones.

import { makeTabs } from "./panels.js";

const find = (id) => document.getElementById(id);

// The label says what the button will do, so there is no aria-pressed beside it: "Unmute, pressed" would say it twice.
function show(button, { active, icon, label, name = label }) {
  button.classList.toggle("active", active);
  button.querySelector("use").setAttribute("href", `#${icon}`);
  button.querySelector("span").textContent = label;
  button.setAttribute("aria-label", name);
}

export class Controls {
  #unread = 0;

  /** `page`: see main.js. */
  constructor(page) {
    this.page = page;
    find("mute").onclick = () => page.media.setMuted(!page.media.muted);
    find("camera-toggle").onclick = () => page.media.setCameraOff(!page.media.cameraOff);
    find("share").onclick = () => page.share(page.media.share === null);
    find("hang-up-all").onclick = () => page.room.hangUpAll();
    find("side-open").onclick = () => this.#openSide(!document.body.classList.contains("side-shown"));
    find("side-close").onclick = () => this.#openSide(false);
    find("side").addEventListener("keydown", ({ key }) => key === "Escape" && this.#openSide(false));
    addEventListener("keydown", (event) => this.#press(event));
    makeTabs([find("chat-tab"), find("log-tab")], { onSelect: () => this.#read() });
  }

  // Digits, * and # are keys of a telephone, unless something is being written.
  #press({ key, target, repeat, ctrlKey, altKey, metaKey }) {
    if (repeat || ctrlKey || altKey || metaKey || target.closest?.("input, textarea, select")) return;
    if (/^[0-9*#]$/.test(key)) this.page.press(key);
  }

  #openSide(open) {
    document.body.classList.toggle("side-shown", open);
    find("side-open").setAttribute("aria-expanded", String(open));
    this.#read();
    if (open) find("chat-text").focus();
    else if (find("side").contains(document.activeElement)) find("side-open").focus();
  }

  get #chatVisible() {
    return !find("chat-panel").hidden && getComputedStyle(find("side")).visibility !== "hidden";
  }

  /** A chat line came: counts it unless it is seen. */
  chatArrived() {
    if (!this.#chatVisible) this.#unread++;
    this.#showUnread();
  }

  #read() {
    if (this.#chatVisible) this.#unread = 0;
    this.#showUnread();
  }

  #showUnread() {
    const badge = find("unread");
    badge.hidden = this.#unread === 0;
    badge.textContent = this.#unread > 9 ? "9+" : this.#unread;
    find("side-open").setAttribute("aria-label", this.#unread ? `Chat, ${this.#unread} unread` : "Chat");
  }

  render() {
    const { media, room } = this.page;
    const mute = find("mute");
    mute.disabled = media.track("audio") === null;
    show(mute, media.muted
      ? { active: true, icon: "microphone-off", label: "Unmute" }
      : { active: false, icon: "microphone", label: "Mute" });
    const camera = find("camera-toggle");
    camera.disabled = media.track("video") === null;
    show(camera, media.cameraOff
      ? { active: true, icon: "camera-off", label: "Camera on" }
      : { active: false, icon: "camera", label: "Camera off" });
    const share = find("share");
    share.hidden = !media.canShare && !media.share;
    show(share, media.share
      ? { active: true, icon: "screen-off", label: "Stop", name: "Stop sharing the screen" }
      : { active: false, icon: "screen", label: "Share", name: "Share screen" });
    find("hang-up-all").disabled = ![...room.participants.values()].some(({ inCall }) => inCall);
  }
}
