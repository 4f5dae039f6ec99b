/**
 * A WebSocket that comes back: backoff, close codes, tokens, and links that die without saying so.
 */

import { afterClose } from "./closing.js";
import { backoffMs } from "./time.js";

/** The server answers a hello within 10 s, if only to say that it cannot. */
const WELCOME_MS = 15_000;
/** How long what must be answered at once may take, before the link counts as dead. */
const ANSWER_MS = 5_000;
/** A connection that lasted this long has proven the server well: the backoff starts anew. */
const STABLE_MS = 5_000;
const ABNORMAL_CLOSURE = 1006;

/**
 * @typedef {import("./types.js").State} State
 * @typedef {object} Owner
 * @property {(why: "connect" | "refused") => Promise<string | null>} token
 * @property {() => void} discardToken the server did not take it
 * @property {(token: string) => string} hello writes the first frame
 * @property {(message: any) => void} onMessage
 * @property {() => void} onState
 * @property {(code: number | null, reason: string, told: boolean) => void} onStop
 * @property {() => boolean} inUse whether somebody looks at a page of this browser
 */

export class Connection {
  /** @type {State} */
  state = "closed";
  /** The close code that it was lost with. @type {number | null} */
  code = null;
  /** When the next attempt is, while it waits; by the clock. @type {number | null} */
  retryAt = null;
  /** When something last came. */
  heardAt = Number.NEGATIVE_INFINITY;
  /** A sign-out is on its way: the server's closing is its success. */
  leaving = false;
  #url;
  #owner;
  #WebSocket;
  #clock;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {any} */
  #timer;
  /** @type {any} */
  #probe;
  #attempt = 0;
  #run = 0;
  #welcomedAt = Number.POSITIVE_INFINITY;
  #refused = false;

  /**
   * @param {string} url
   * @param {Owner} owner
   * @param {typeof WebSocket} Implementation
   * @param {import("./types.js").Clock} clock
   */
  constructor(url, owner, Implementation, clock) {
    this.#url = url;
    this.#owner = owner;
    this.#WebSocket = Implementation;
    this.#clock = clock;
  }

  /** Connect, unless that is so or under way; a wait for the next attempt is cut short. */
  start() {
    if (this.state !== "connecting" && this.state !== "open") this.#open();
  }

  /** Leave the present socket, which is dead or may be so without knowing, for a new one. */
  restart() {
    this.#attempt = 0;
    this.#open();
  }

  /** Close without signing out: the server forgives it for the disconnect grace. */
  close() {
    this.#detach();
    if (this.state !== "stopped") this.#setState("closed");
  }

  /** The server has said `welcome`. */
  welcomed() {
    this.#clock.clearTimeout(this.#timer);
    this.#welcomedAt = this.#clock.now();
    this.#refused = false;
    this.#setState("open");
  }

  /**
   * @param {object} message
   * @returns {boolean} whether it went out
   */
  send(message) {
    if (this.state !== "open" || this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Something was sent that is answered at once: without a word in time, the link is dead. */
  expectAnswer() {
    if (this.state !== "open" || this.#probe) return;
    this.#probe = this.#clock.setTimeout(() => this.restart(), ANSWER_MS);
  }

  async #open() {
    this.#detach();
    const run = this.#run;
    this.#setState("connecting");
    let token;
    try {
      token = await this.#owner.token(this.#refused ? "refused" : "connect");
    } catch {
      // Told by the owner, once and not at every attempt.
      if (run === this.#run) this.#lost(ABNORMAL_CLOSURE, "");
      return;
    }
    if (run !== this.#run) return;
    if (token === null) this.stop(null, "");
    else this.#dial(token);
  }

  /** @param {string} token */
  #dial(token) {
    this.#timer = this.#clock.setTimeout(() => this.#lost(ABNORMAL_CLOSURE, ""), WELCOME_MS);
    const socket = new this.#WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => socket.send(this.#owner.hello(token));
    socket.onmessage = ({ data }) => {
      this.heardAt = this.#clock.now();
      this.#clock.clearTimeout(this.#probe);
      this.#probe = undefined;
      this.#owner.onMessage(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  /** @param {number} code @param {string} reason */
  #lost(code, reason) {
    if (this.leaving && code === 1000) {
      this.stop(4506, reason);
      return;
    }
    const lastedMs = this.#clock.now() - this.#welcomedAt;
    this.#detach();
    const { retry, newToken, quick, park } = afterClose(code, this.#refused);
    if (!retry) {
      this.stop(code, reason);
      return;
    }
    if (park && !this.#owner.inUse()) {
      this.#setState("parked", code);
      return;
    }
    if (newToken) {
      this.#owner.discardToken();
      this.#refused = true;
    }
    if (quick || lastedMs >= STABLE_MS) this.#attempt = 0;
    const delayMs = backoffMs(this.#attempt);
    this.#attempt += 1;
    this.#timer = this.#clock.setTimeout(() => this.#open(), delayMs);
    this.#setState("waiting", code, this.#clock.now() + delayMs);
  }

  /**
   * End for good.
   * @param {number | null} code
   * @param {string} reason
   * @param {boolean} [told] whether the server knows
   */
  stop(code, reason, told = true) {
    if (this.state === "stopped") return;
    this.#detach();
    this.#setState("stopped", code);
    this.#owner.onStop(code, reason, told);
  }

  /** Forget the present socket and whatever was planned. */
  #detach() {
    this.#run += 1;
    this.#clock.clearTimeout(this.#timer);
    this.#clock.clearTimeout(this.#probe);
    this.#probe = undefined;
    this.#welcomedAt = Number.POSITIVE_INFINITY;
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(1000);
  }

  /**
   * @param {State} state
   * @param {number | null} [code]
   * @param {number | null} [retryAt]
   */
  #setState(state, code = null, retryAt = null) {
    if (state === this.state && state !== "waiting") return;
    this.state = state;
    this.code = code;
    this.retryAt = retryAt;
    this.#owner.onState();
  }
}
