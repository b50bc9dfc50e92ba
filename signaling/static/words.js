// What codes mean in words: how a call ended, what state it is in, why there is no camera. Pure.

/** One sentence on how a call ended. `by` is a name, "you" or "network". */
export function endedSentence({ by, reason, text }) {
  const you = by === "you";
  const sentences = {
    "hung-up": you ? "You hung up" : `${by} hung up`,
    "declined": `${by} declined the call`,
    "busy": `${by} is busy`,
    "cancelled": you ? "You cancelled the call" : `${by} cancelled the call`,
    "no-answer": you ? "No answer in time" : `${by} did not get an answer in time`,
    "failed": "No media path could be opened between you; a TURN server may be needed",
    "lost": "The connection was lost",
    "left": you ? "You left" : `${by} left`,
    "not-here": "Not in the room any more",
    "not-allowed": "The server does not allow this call",
    "replaced": `${by} started a new call`,
    "error": you ? "This page could not go on" : `${by} stopped because of an error`,
  };
  const sentence = sentences[reason] ?? `Ended: ${reason}`;
  return text ? `${sentence}: ${text}` : `${sentence}.`;
}

/** What whoever is recorded has to know; null when nobody records. */
export function recordingNotice(names) {
  if (names.length === 0) return null;
  const who = names.length === 1 ? `${names[0]} records` : `${names.slice(0, -1).join(", ")} and ${names.at(-1)} record`;
  return `${who} what you send. If you do not want that, hang up that call.`;
}

/** What whoever has an access token that ends soon has to know. */
export function expiryNotice(seconds) {
  return `Your access token ends in ${Math.round(seconds)} s, and then the server lets you in no more. Open the page with another one.`;
}

/** The state of a participant as shown in the tile. */
export const STATE_WORDS = {
  present: "not in a call",
  gone: "left the room",
  calling: "calling",
  connecting: "connecting",
  connected: "connected",
  disconnected: "disconnected",
  ended: "ended",
};

const ASKED = { both: "Camera and microphone", video: "The camera", audio: "The microphone" };

/**
 * Why a device is missing and what to do, in one message.
 * `error` is the name of the exception of getUserMedia, or "insecure"; `asked` is "both", "video" or "audio".
 */
export function mediaNotice(error, asked, { receiveOnly }) {
  const what = ASKED[asked];
  const effect = receiveOnly ? "You only receive." : "The rest works.";
  switch (error) {
    case "insecure":
      return `Browsers give no camera or microphone to a plain http page of another machine. ${effect} Open this page over https, or on the server's own machine as http://localhost.`;
    case "NotAllowedError":
    case "SecurityError":
      return `${what} ${asked === "both" ? "were" : "was"} refused. ${effect} To send, allow access in the address bar and reload the page.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `${what} ${asked === "both" ? "were" : "was"} not found. ${effect} Plug one in and reload the page.`;
    case "NotReadableError":
    case "AbortError":
      return `${what} could not be opened. ${effect} Close other programs that use it and reload the page.`;
    case "ended":
      return `${what} stopped. ${effect} Plug it in again and reload the page.`;
    default:
      return `${what} could not be opened (${error}). ${effect} Check the device and reload the page.`;
  }
}

/** 1234567 bit/s -> "1.2 Mb/s". */
export function bitrateWords(bitsPerSecond) {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s` : `${Math.round(bitsPerSecond / 1e3)} kb/s`;
}
