// The page /doctor: takes the ICE servers from the signaling server, has each tried, shows what came of it.
//
// window.peerDoctor, for tests and scripts: state ("joining", "running", "done"), rows, sentences; a copy of what is shown.

import { diagnose, rows } from "./diagnosis.js";
import { askServer, callOurselves, lookAtNat, serverUrls } from "./probes.js";
import { Signaling } from "./signaling.js";
import { readToken } from "./token.js";

const ROOM = "doctor";
const JOIN_TIMEOUT = 5_000; // ms

const find = (id) => document.getElementById(id);

/** The ICE servers of the welcome. Comes into a room and goes; the name is one that no doctor calls. */
function iceServers() {
  const url = new URL("ws", location.href.replace(/^http/, "ws"));
  url.search = "";
  const name = `doctor-${Math.random().toString(16).slice(2).padEnd(6, "0").slice(0, 6)}`;
  return new Promise((resolve, reject) => {
    const signaling = new Signaling({
      url,
      room: ROOM,
      name,
      token: readToken(),
      onMessage: (message) => {
        if (message.type !== "welcome") return;
        signaling.close();
        resolve(message.iceServers);
      },
      onState: (state, detail) => {
        if (state !== "lost" && state !== "refused") return;
        signaling.close();
        reject(new Error(state === "lost" ? "The signaling server does not answer. Check that it runs." : detail));
      },
    });
    signaling.open();
    setTimeout(() => {
      signaling.close();
      reject(new Error("The signaling server does not answer. Check that it runs, and that a proxy before it passes WebSockets on."));
    }, JOIN_TIMEOUT);
  });
}

class Doctor {
  state = "joining";
  findings = { servers: [], direct: null, nat: null };
  sentences = [];

  async examine() {
    Object.assign(this, { state: "joining", findings: { servers: [], direct: null, nat: null }, sentences: [] });
    this.show("asking the signaling server", "running");
    try {
      this.findings.servers = serverUrls(await iceServers()).map((server) => ({ ...server, answer: null, call: null }));
      this.state = "running";
      this.show("asking the servers", "running");
      const asked = this.findings.servers.map((server) => this.#ask(server));
      const called = this.findings.servers.map((server, index) => asked[index].then(() => this.#call(server)));
      await Promise.all([this.#direct(), Promise.all(asked).then(() => this.#nat()), ...called]);
      this.sentences = diagnose(this.findings);
    } catch (error) {
      this.sentences = [{ level: "problem", text: error.message }];
    }
    this.state = "done";
    const problems = this.sentences.filter(({ level }) => level === "problem").length;
    this.show(problems ? `${problems} problem${problems > 1 ? "s" : ""}` : "all is well", problems ? "bad" : "good");
  }

  get rows() {
    return this.state === "joining" || !this.findings.direct && this.state === "done" ? [] : rows(this.findings);
  }

  async #direct() {
    this.findings.direct = await callOurselves(null);
    this.show();
  }

  async #nat() {
    const answering = this.findings.servers.filter(({ answer }) => answer.ok);
    this.findings.nat = answering.length ? await lookAtNat(answering) : null;
    this.show();
  }

  async #ask(server) {
    server.answer = await askServer(server);
    this.show();
  }

  async #call(server) {
    if (server.turn && server.answer.ok) server.call = await callOurselves(server);
    this.show();
  }

  show(words, state) {
    if (words) {
      find("state").textContent = words;
      find("state").dataset.state = state;
    }
    find("again").disabled = this.state !== "done";
    find("checks").replaceChildren(...this.rows.map(tableRow));
    find("sentences").replaceChildren(...this.sentences.map(({ level, text }) => {
      const item = document.createElement("li");
      item.className = level;
      item.textContent = text;
      return item;
    }));
  }
}

function tableRow({ check, result, seconds, details }) {
  const row = document.createElement("tr");
  const heading = Object.assign(document.createElement("th"), { scope: "row", textContent: check });
  const cells = [result === "running" ? "…" : result, seconds === null ? "" : seconds.toFixed(2), details].map((text) =>
    Object.assign(document.createElement("td"), { textContent: text }));
  cells[0].dataset.result = result;
  cells[1].className = "number";
  row.append(heading, ...cells);
  return row;
}

const doctor = new Doctor();
window.peerDoctor = {
  get state() { return doctor.state; },
  get rows() { return structuredClone(doctor.rows); },
  get sentences() { return structuredClone(doctor.sentences); },
};
find("again").onclick = () => doctor.examine();
doctor.examine();
