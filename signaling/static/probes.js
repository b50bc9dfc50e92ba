// What the doctor tries: candidates from one server, a call to ourselves through it, and what the NAT does. No DOM.

export const TIMEOUT = 5_000; // ms for each server and each call

/** One entry for each URL of a list of iceServers: { url, turn, transport, ice }, `ice` being what browsers take. */
export function serverUrls(iceServers) {
  return iceServers.flatMap(({ urls, username, credential }) => [urls].flat().map((url) => ({
    url,
    turn: /^turns?:/.test(url),
    transport: /^turns:/.test(url) ? "tls" : /[?&]transport=tcp/.test(url) ? "tcp" : "udp",
    ice: { urls: url, ...(username === undefined ? {} : { username, credential }) },
  })));
}

/** The fields of a candidate line that matter here. */
export function parseCandidate(line) {
  const [, , protocol, , address, port] = line.split(" ");
  const after = (word) => new RegExp(` ${word} (\\S+)`).exec(line)?.[1];
  return { protocol, address, port: Number(port), type: after("typ"), network: after("network-id") ?? "" };
}

/**
 * Asks one server. Resolves with { ok, seconds, candidate, silent, code, text }: `candidate` is null where a STUN server
 * sees the very address that the host has; `silent` that nothing came back in time.
 */
export async function askServer({ turn, ice }, timeout = TIMEOUT) {
  const wanted = turn ? "relay" : "srflx";
  const begun = performance.now();
  const since = () => (performance.now() - begun) / 1000;
  let pc;
  try {
    pc = new RTCPeerConnection({ iceServers: [ice], iceTransportPolicy: turn ? "relay" : "all" });
  } catch (error) {
    return { ok: false, seconds: null, candidate: null, silent: false, code: 701, text: error.message };
  }
  const errors = [];
  let hosts = 0;
  try {
    return await new Promise((resolve) => {
      const failed = (silent) => {
        const worst = errors.find(({ errorCode }) => errorCode !== 701) ?? errors[0];
        const text = worst?.errorText.replace(/\.$/, "") || (silent ? `no answer within ${timeout / 1000} s` : "no candidate");
        resolve({ ok: false, seconds: null, candidate: null, silent, code: worst?.errorCode ?? 701, text });
      };
      const timer = setTimeout(() => failed(errors.every(({ errorCode }) => errorCode === 701)), timeout);
      pc.onicecandidateerror = (event) => {
        errors.push({ errorCode: event.errorCode, errorText: event.errorText });
        if (event.errorCode !== 701) failed(false); // the server itself refused: no other way to it does better
      };
      pc.onicecandidate = ({ candidate }) => {
        if (candidate?.candidate) {
          const found = parseCandidate(candidate.candidate);
          hosts += found.type === "host";
          if (found.type === wanted) resolve({ ok: true, seconds: since(), candidate: found, silent: false });
        } else if (!candidate) {
          clearTimeout(timer);
          if (!turn && hosts > 0 && errors.length === 0) resolve({ ok: true, seconds: since(), candidate: null, silent: false });
          else failed(errors.length > 0 && errors.every(({ errorCode }) => errorCode === 701));
        }
      };
      pc.createDataChannel("doctor");
      pc.setLocalDescription().catch(() => failed(false));
    });
  } finally {
    pc.close();
  }
}

/**
 * Calls ourselves: one end through this server only (none: directly), the other as it likes.
 * Resolves with { ok, seconds, roundTrip, path, text }.
 */
export async function callOurselves(server, timeout = TIMEOUT) {
  const iceServers = server ? [server.ice] : [];
  const ends = [
    new RTCPeerConnection({ iceServers, iceTransportPolicy: server?.turn ? "relay" : "all" }),
    new RTCPeerConnection({ iceServers }),
  ];
  const begun = performance.now();
  const failed = (text) => ({ ok: false, seconds: null, roundTrip: null, path: "", text });
  try {
    return await Promise.race([
      dial(...ends, begun),
      new Promise((resolve) => setTimeout(resolve, timeout, failed(`no path within ${timeout / 1000} s`))),
    ]);
  } catch (error) {
    return failed(error.message);
  } finally {
    for (const end of ends) end.close();
  }
}

async function dial(caller, callee, begun) {
  // Candidates wait for the description that they belong to.
  const described = Promise.withResolvers?.() ?? deferred();
  for (const [from, to] of [[caller, callee], [callee, caller]]) {
    from.onicecandidate = async ({ candidate }) => {
      if (!candidate) return;
      await described.promise;
      to.addIceCandidate(candidate).catch(() => {}); // closed meanwhile
    };
  }
  const channel = caller.createDataChannel("doctor");
  callee.ondatachannel = ({ channel: theirs }) => (theirs.onmessage = ({ data }) => theirs.send(data));
  await caller.setLocalDescription();
  await callee.setRemoteDescription(caller.localDescription);
  await callee.setLocalDescription();
  await caller.setRemoteDescription(callee.localDescription);
  described.resolve();
  await new Promise((resolve, reject) => {
    channel.onopen = resolve;
    caller.onconnectionstatechange = () => caller.connectionState === "failed" && reject(new Error("no path was found"));
  });
  const seconds = (performance.now() - begun) / 1000;
  const sent = performance.now();
  await new Promise((resolve) => {
    channel.onmessage = resolve;
    channel.send("there and back");
  });
  return { ok: true, seconds, roundTrip: (performance.now() - sent) / 1000, path: await pathOf(caller), text: "" };
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

async function pathOf(pc) {
  const stats = [...(await pc.getStats()).values()];
  const byId = (id) => stats.find((each) => each.id === id);
  const transport = stats.find(({ type }) => type === "transport");
  const pair = byId(transport?.selectedCandidatePairId) ?? stats.find(({ type, nominated }) => type === "candidate-pair" && nominated);
  const local = byId(pair?.localCandidateId);
  const remote = byId(pair?.remoteCandidateId);
  if (!local || !remote) return "";
  return `${local.candidateType} to ${remote.candidateType}, ${local.relayProtocol ?? local.protocol}`;
}

/**
 * What the NAT does with one socket that asks several servers by UDP: "symmetric", "endpoint-independent" or "unknown".
 * Browsers tell of another mapping by another candidate of the same network.
 */
export async function lookAtNat(servers, wait = 2_000) {
  const asked = servers.filter(({ transport }) => transport === "udp");
  const hosts = new Set(asked.map(({ url }) => url.split("?")[0].split(":")[1]));
  if (hosts.size < 2) return "unknown";
  const pc = new RTCPeerConnection({ iceServers: asked.map(({ url, ice }) => ({ ...ice, urls: url })) });
  const ports = new Map(); // network and address -> ports
  try {
    await new Promise((resolve) => {
      setTimeout(resolve, wait);
      pc.onicecandidate = ({ candidate }) => {
        if (!candidate) return resolve();
        if (!candidate.candidate) return undefined;
        const { type, protocol, address, port, network } = parseCandidate(candidate.candidate);
        if (type !== "srflx" || protocol !== "udp") return undefined;
        const key = `${network} ${address}`;
        return ports.set(key, (ports.get(key) ?? new Set()).add(port));
      };
      pc.createDataChannel("doctor");
      pc.setLocalDescription().catch(resolve);
    });
  } finally {
    pc.close();
  }
  return natOf([...ports.values()].map((each) => each.size));
}

/** From how many ports each address of ours was seen with. */
export function natOf(counts) {
  if (counts.length === 0) return "unknown";
  return counts.some((count) => count > 1) ? "symmetric" : "endpoint-independent";
}
