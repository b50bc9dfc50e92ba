// What the address asks for, and the form when it asks for nothing.
//
// /?room=ROOM&name=NAME  joins without a click.
// video=0, audio=0       without camera, without microphone.
// video=1280x720         asks the camera for that size (640x480 unless told otherwise).
// #token=TOKEN           is for a server that wants an access token; see token.js.

const REMEMBERED = "peer";

/** The options in the address: { room, name, video, audio, size }; `size` undefined unless given. */
export function readAddress(search) {
  const query = new URLSearchParams(search);
  const size = /^(\d{2,4})x(\d{2,4})$/.exec(query.get("video") ?? "");
  return {
    room: (query.get("room") ?? "").trim(),
    name: (query.get("name") ?? "").trim(),
    video: query.get("video") !== "0",
    audio: query.get("audio") !== "0",
    size: size ? { width: Number(size[1]), height: Number(size[2]) } : undefined,
  };
}

// Storage can be forbidden by the user's settings; then nothing is remembered.
function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
  } catch {
    return {};
  }
}

export function remember({ room, name }) {
  try {
    localStorage.setItem(REMEMBERED, JSON.stringify({ room, name }));
  } catch {
    return;
  }
}

/** Shows the form and resolves with the options once it is sent. `refusal`: why the last try did not work. */
export function askUser(options, refusal = "", wantsToken = Boolean(options.token)) {
  const [entry, form] = ["entry", "form"].map((id) => document.getElementById(id));
  const { room, name, token } = form.elements;
  const video = document.getElementById("with-video");
  const audio = document.getElementById("with-audio");
  const old = remembered();
  room.value = options.room || old.room || "";
  name.value = options.name || old.name || "";
  token.value = options.token;
  document.getElementById("token-field").hidden = !wantsToken;
  video.checked = options.video;
  audio.checked = options.audio;
  const refused = document.getElementById("refusal");
  refused.textContent = refusal;
  refused.hidden = !refusal;
  entry.hidden = false;
  (room.value ? name : room).focus();
  if (refusal) (wantsToken ? token : name).select();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const answer = {
        room: room.value.trim(),
        name: name.value.trim(),
        token: token.value.trim(),
        video: video.checked,
        audio: audio.checked,
        size: options.size,
      };
      if (!answer.room || !answer.name) return;
      entry.hidden = true;
      resolve(answer);
    };
  });
}

/** Puts the options into the address, so that a reload joins again. */
export function writeAddress({ room, name, video, audio, size }) {
  const query = new URLSearchParams({ room, name });
  if (!video) query.set("video", "0");
  else if (size) query.set("video", `${size.width}x${size.height}`);
  if (!audio) query.set("audio", "0");
  history.replaceState(null, "", `?${query}`);
}
