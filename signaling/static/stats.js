// Numbers of one connection, read once a second: picture size, frame rate, bitrate, codec, path.

/** What one reading says about one incoming video. */
class VideoReading {
  width = 0;
  height = 0;
  framesDecoded = 0;
  fps = 0;
  codec = "";
}

export class StatsReader {
  /** By track id. */
  videos = new Map();
  bytesReceived = 0;
  bitrate = 0; // incoming, bit/s
  path = ""; // host, srflx, prflx or relay, with the transport protocol
  /** Readings in a row that brought no new byte of media, from somebody who had sent some. */
  silentReadings = 0;
  #time = 0;

  async read(pc) {
    const report = await pc.getStats();
    const streams = [...report.values()].filter(({ type }) => type === "inbound-rtp");
    const now = performance.now();
    const seconds = this.#time ? (now - this.#time) / 1000 : 0;
    const bytes = streams.reduce((sum, { bytesReceived = 0 }) => sum + bytesReceived, 0);
    this.bitrate = seconds ? (Math.max(0, bytes - this.bytesReceived) * 8) / seconds : 0;
    this.silentReadings = bytes > this.bytesReceived || bytes === 0 ? 0 : this.silentReadings + 1;
    this.bytesReceived = bytes;
    this.#time = now;
    this.#readVideos(report, streams, seconds);
    this.#readPath(report);
  }

  #readVideos(report, streams, seconds) {
    const videos = new Map();
    for (const stream of streams.filter(({ kind }) => kind === "video")) {
      const before = this.videos.get(stream.trackIdentifier);
      const video = new VideoReading();
      video.width = stream.frameWidth ?? 0;
      video.height = stream.frameHeight ?? 0;
      video.framesDecoded = stream.framesDecoded ?? 0;
      video.fps = before && seconds ? Math.max(0, video.framesDecoded - before.framesDecoded) / seconds : 0;
      video.codec = (report.get(stream.codecId)?.mimeType ?? "").replace("video/", "");
      videos.set(stream.trackIdentifier, video);
    }
    this.videos = videos;
  }

  #readPath(report) {
    const pairs = [...report.values()].filter(({ type }) => type === "candidate-pair");
    const transport = [...report.values()].find(({ selectedCandidatePairId }) => selectedCandidatePairId);
    const pair = report.get(transport?.selectedCandidatePairId) ?? pairs.find(({ selected, nominated }) => selected || nominated);
    const local = report.get(pair?.localCandidateId);
    this.path = local ? `${local.candidateType}/${local.protocol}` : "";
  }
}
