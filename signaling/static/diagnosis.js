// What the doctor's findings mean, in sentences that say what to do. Pure.

const CREDENTIALS = ["wrong user or password", "Correct them on the signaling server"];
const CAUSES = {
  401: CREDENTIALS,
  403: ["forbidden", "Ask who runs it which addresses and users it serves"],
  438: CREDENTIALS,
  486: ["allocation quota reached", "End other calls, or raise the quota of its user"],
  508: ["the server is full", "Use another one, or give it more relay ports"],
};

/**
 * `findings`: { servers: [{ url, turn, transport, answer, call }], direct, nat }, where `answer` is of askServer and `call`,
 * `direct` of callOurselves (null: not tried). Returns [{ level: "problem", "note" or "good", text }].
 */
export function diagnose({ servers, direct, nat }) {
  const said = [...servers.flatMap(aboutServer), ...aboutNetwork(servers, nat)];
  if (direct && !direct.ok) {
    said.unshift({ level: "problem", text: `This browser cannot even call itself (${direct.text}). An extension or a setting blocks WebRTC: allow it.` });
  }
  if (servers.length === 0) {
    said.push({ level: "note", text: "The server hands out no STUN or TURN server: calls work within this network only. Start it with --ice-server turn:USER:PASSWORD@HOST." });
  } else if (!servers.some(({ turn }) => turn)) {
    said.push({ level: "note", text: "No TURN server is named: where a NAT is symmetric or UDP is blocked, no call comes about. Start the server with --ice-server turn:USER:PASSWORD@HOST." });
  } else if (servers.filter(({ turn }) => turn).every(({ transport }) => transport === "udp")) {
    said.push({ level: "note", text: "TURN is reached by UDP only: who is in a network without UDP cannot be called. Name turns:HOST:443 or turn:HOST?transport=tcp too." });
  }
  const rank = { problem: 0, note: 1 };
  said.sort((one, other) => rank[one.level] - rank[other.level]);
  if (!said.some(({ level }) => level === "problem")) {
    const ways = servers.filter(({ call }) => call?.ok).map(({ url }) => url);
    said.unshift({ level: "good", text: `All is well${ways.length ? `: calls work through ${ways.join(", ")}` : ""}.` });
  }
  return said;
}

function aboutServer({ url, turn, transport, answer, call }) {
  if (!answer) return [];
  if (!answer.ok) {
    const [cause, advice] = CAUSES[answer.code] ?? [answer.text, "Check the server, and that its port can be reached from here"];
    const code = answer.code === 701 ? "" : ` (${answer.code})`;
    const certificate = transport === "tls" ? "; a browser does not say when it does not trust the certificate" : "";
    return [{ level: "problem", text: `${url}: ${cause}${code}. ${advice}${certificate}.` }];
  }
  if (turn && call && !call.ok) {
    return [{ level: "problem", text: `${url}: it gave a relay, but no call came about through it (${call.text}). Open the server's relay ports (UDP) in its firewall.` }];
  }
  return [];
}

function aboutNetwork(servers, nat) {
  const said = [];
  const asked = servers.filter(({ answer }) => answer);
  const udp = asked.filter(({ transport }) => transport === "udp");
  const other = asked.find(({ transport, answer }) => transport !== "udp" && answer.ok);
  if (udp.length && udp.every(({ answer }) => answer.silent)) {
    if (other) said.push({ level: "note", text: `UDP does not get out of this network: calls go through ${other.url}, which works.` });
    else if (asked.length > 1) said.push({ level: "problem", text: "No server answers: UDP does not get out of this network, or the servers are down. Name a TURN server over TLS: turns:HOST:443." });
  }
  if (nat === "symmetric") {
    const relayed = asked.some(({ turn, answer }) => turn && answer.ok);
    said.push(relayed
      ? { level: "note", text: "This NAT is symmetric (another port for each destination): many calls from here will go through the TURN server." }
      : { level: "problem", text: "This NAT is symmetric (another port for each destination): a STUN server is not enough. Start the server with --ice-server turn:USER:PASSWORD@HOST." });
  }
  return said;
}

/** The rows of the table: { check, result ("ok", "failed", "running" or "-"), seconds, details }. */
export function rows({ servers, direct, nat }) {
  const shown = [callRow("This browser, direct", direct)];
  for (const { url, turn, answer, call } of servers) {
    shown.push(answerRow(url, answer));
    if (turn && answer?.ok) shown.push(callRow(`Call through ${url}`, call));
  }
  if (nat !== null) shown.push({ check: "NAT", result: "-", seconds: null, details: nat === "unknown" ? "two servers at different addresses would tell which kind" : `${nat} mapping` });
  return shown;
}

function answerRow(check, answer) {
  if (!answer) return { check, result: "running", seconds: null, details: "" };
  if (!answer.ok) return { check, result: "failed", seconds: null, details: `${answer.text}${answer.code === 701 ? "" : ` (${answer.code})`}` };
  const { candidate, seconds } = answer;
  const what = candidate?.type === "relay" ? "relays at" : "sees this browser as";
  return { check, result: "ok", seconds, details: candidate ? `${what} ${candidate.address}:${candidate.port}` : "answers; no NAT lies between" };
}

function callRow(check, call) {
  if (!call) return { check, result: "running", seconds: null, details: "" };
  if (!call.ok) return { check, result: "failed", seconds: null, details: call.text };
  return { check, result: "ok", seconds: call.seconds, details: `${call.path}, there and back in ${Math.round(call.roundTrip * 1000)} ms` };
}
