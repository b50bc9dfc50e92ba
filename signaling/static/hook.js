// window.peerPage: what a machine sees of the page and can do with it; for tests and for scripts that drive the page.
//
// Read:
//   state         "form", "connecting", "joined", "lost" (the server is away, calls go on), "refused", "left"
//   name, room    ours
//   media         { video, audio, receiveOnly, muted, cameraOff, sharing }
//   participants  [{ name, inRoom, state, recording, endedBy, endedReason, text, chatOpen, videoWidth, videoHeight,
//                 framesDecoded, fps, bitrate, bytesReceived, path, screens: [{ width, height, framesDecoded }] }]; `state` is one of "present",
//                 "calling", "connecting", "connected", "disconnected", "ended", "gone";
//                 `recording`: it says that it records us; `endedBy` a name, "you" or "network"
//   chat          [{ name, text, own }], oldest first
//   log           [{ time (ISO 8601), who, what, level }], newest first
//   notices       [sentence]
// Do (the same as the buttons):
//   call(name) hangUp(name) hangUpAll() send(text) -> receivers, press(keys) -> receivers, mute(on) cameraOff(on),
//   await shareScreen(true, false or a MediaStream to share instead of a screen), leave(),
//   renew(token): hands in another access token, before the one so far ends
// Everything read is a copy: changing it changes nothing.

function describeParticipant(participant, reading) {
  const { name, inRoom, state, call } = participant;
  const main = call?.videos.find((video) => video.main);
  const video = main && reading?.videos.get(main.track.id);
  const screens = call?.videos.filter((each) => !each.main).map(({ track }) => {
    const { width = 0, height = 0, framesDecoded = 0 } = reading?.videos.get(track.id) ?? {};
    return { width, height, framesDecoded };
  });
  return {
    name,
    inRoom,
    state,
    recording: call?.recorded ?? false,
    endedBy: call?.ended?.by ?? null,
    endedReason: call?.ended?.reason ?? null,
    text: call?.ended?.text ?? "",
    chatOpen: call?.chatOpen ?? false,
    videoWidth: video?.width ?? 0,
    videoHeight: video?.height ?? 0,
    framesDecoded: video?.framesDecoded ?? 0,
    fps: video?.fps ?? 0,
    bitrate: reading?.bitrate ?? 0,
    bytesReceived: reading?.bytesReceived ?? 0,
    path: reading?.path ?? "",
    screens: screens ?? [],
  };
}

/** Publishes the hook. `page`: see main.js; before the room is joined only `state` and `notices` say something. */
export function publish(page) {
  const key = (name) => [...(page.room?.participants.values() ?? [])].find((each) => each.name === name)?.key;
  window.peerPage = Object.freeze({
    get state() { return page.state; },
    get name() { return page.options?.name ?? ""; },
    get room() { return page.options?.room ?? ""; },
    get media() {
      const { media } = page;
      if (!media) return null;
      const [video, audio] = ["video", "audio"].map((kind) => media.track(kind) !== null);
      return { video, audio, receiveOnly: !video && !audio, muted: media.muted, cameraOff: media.cameraOff, sharing: media.share !== null };
    },
    get participants() {
      return [...(page.room?.participants.values() ?? [])].map((each) => describeParticipant(each, page.stats.get(each.call)));
    },
    get chat() { return page.chat.lines.map(({ name, text, own }) => ({ name, text, own })); },
    get log() { return page.log.entries.map(({ time, who, what, level }) => ({ time: time.toISOString(), who, what, level })); },
    get notices() { return page.notices.sentences; },
    call: (name) => page.room.call(key(name)),
    hangUp: (name) => page.room.hangUp(key(name)),
    hangUpAll: () => page.room.hangUpAll(),
    send: (text) => page.write(text),
    press: (keys) => page.press(keys),
    mute: (on = true) => page.media.setMuted(on),
    cameraOff: (on = true) => page.media.setCameraOff(on),
    shareScreen: (what = true) => page.share(what),
    leave: () => page.leave(),
    renew: (token) => page.renew(token),
  });
}
