/**
 * The way from a tab to the hub with the connection: in a shared worker, in the tab that leads, or right here.
 */

import { backoffMs } from "./time.js";
import { VERSION } from "./version.js";

/**
 * @typedef {object} Link
 * @property {(message: any) => void} post
 * @property {() => void} close after a `bye`
 * @property {() => boolean} [yield] the page is about to freeze: let another one lead; whether it does
 */

/**
 * @typedef {object} Spec
 * @property {string} url of the WebSocket
 * @property {string} key tabs with the same one share
 * @property {import("./hub.js").Environment} environment
 * @property {(message: any) => void} receive
 * @property {() => void} onBroken there will be no answer
 */

/**
 * @typedef {"worker" | "channel" | "here"} Kind
 * @typedef {import("./hub.js").Hub} Hub
 */

/**
 * The hub's code, which only pages need whose hub is not in a worker.
 * @param {Spec} spec
 * @returns {Promise<Hub>}
 */
async function makeHub({ url, environment }) {
  for (let attempt = 0; ; attempt++) {
    try {
      const { Hub } = await import("./worker.js");
      return new Hub(url, environment, () => {});
    } catch {
      await new Promise((done) => environment.clock.setTimeout(() => done(undefined), backoffMs(attempt)));
    }
  }
}

/** @param {boolean} shared @returns {Kind[]} what this browser has, the best first */
export function kindsOfLinks(shared) {
  /** @type {Kind[]} */
  const kinds = [];
  if (shared && "SharedWorker" in globalThis) kinds.push("worker");
  if (shared && globalThis.navigator?.locks && "BroadcastChannel" in globalThis) kinds.push("channel");
  return [...kinds, "here"];
}

/**
 * @param {Kind} kind
 * @param {Spec} spec
 * @param {boolean} steal whether the tab that leads is thought to be dead
 * @returns {Link}
 */
export function openLink(kind, spec, steal) {
  if (kind === "worker") return linkToWorker(spec);
  return kind === "channel" ? new ChannelLink(spec, steal) : linkHere(spec);
}

/** @param {Spec} spec @returns {Link} */
function linkHere(spec) {
  const port = { post: spec.receive };
  /** @type {Hub | null} */
  let hub = null;
  /** @type {any[] | null} what was said before it was there; null after the end */
  let early = [];
  makeHub(spec).then((made) => {
    if (!early) return;
    hub = made;
    for (const message of early) hub.receive(port, message);
  });
  return {
    post: (message) => (hub ? hub.receive(port, message) : early?.push(message)),
    close: () => {
      early = null;
      hub?.end();
    },
  };
}

/** @param {Spec} spec @returns {Link} */
function linkToWorker({ receive, onBroken }) {
  // Written as bundlers look for it: they put the worker where it is found.
  const worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module", name: "presence" });
  worker.onerror = onBroken;
  worker.port.onmessage = ({ data }) => (data.t === "foreign" ? onBroken() : receive(data));
  return {
    post: (message) => worker.port.postMessage(message),
    close: () => worker.port.close(),
  };
}

/**
 * The tab that holds the lock leads: the hub is in it, the others reach it by a channel. When it ends, in whatever way, the
 * lock goes to the next one, which says so, and all join it.
 */
class ChannelLink {
  #spec;
  #name;
  #id = Math.random().toString(36);
  #channel;
  #closing = new AbortController();
  /** @type {Hub | null} */
  #hub = null;
  #release = () => {};
  /** @type {Map<string, import("./hub.js").Port>} */
  #ports = new Map();

  /** @param {Spec} spec @param {boolean} steal */
  constructor(spec, steal) {
    this.#spec = spec;
    this.#name = `presence:${VERSION}:${spec.key}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data: { to, from, body } }) => {
      if (to === "hub") this.#hub?.receive(this.#port(from), body);
      else if (to === this.#id || to === "all") spec.receive(body);
    };
    this.#queue(steal);
  }

  /** @param {any} body */
  post(body) {
    if (this.#hub) this.#hub.receive(this.#port(this.#id), body);
    else this.#channel.postMessage({ to: "hub", from: this.#id, body });
  }

  close() {
    this.#closing.abort();
    this.#resign();
    this.#channel.close();
  }

  yield() {
    if (!this.#hub || this.#hub.size < 2) return false;
    this.close();
    return true;
  }

  /** @param {boolean} steal */
  async #queue(steal) {
    try {
      const options = steal ? { steal } : { signal: this.#closing.signal };
      await navigator.locks.request(this.#name, options, () => this.#lead());
    } catch {
      // Closed, or thought dead by another tab that leads now.
      if (this.#closing.signal.aborted) return;
      this.#resign();
      this.#queue(false);
      this.#spec.receive({ t: "who" });
    }
  }

  async #lead() {
    let over = false;
    const end = new Promise((resolve) => {
      this.#release = () => resolve((over = true));
    });
    const hub = await makeHub(this.#spec);
    if (over || this.#closing.signal.aborted) return;
    this.#hub = hub;
    const who = { t: "who" };
    this.#channel.postMessage({ to: "all", body: who });
    this.#spec.receive(who);
    await end;
  }

  #resign() {
    this.#hub?.end();
    this.#hub = null;
    this.#ports.clear();
    this.#release();
  }

  /** @param {string} id of a tab @returns {import("./hub.js").Port} */
  #port(id) {
    const post =
      id === this.#id ? this.#spec.receive : (/** @type {any} */ body) => this.#channel.postMessage({ to: id, body });
    const port = this.#ports.get(id) ?? { post };
    this.#ports.set(id, port);
    return port;
  }
}
