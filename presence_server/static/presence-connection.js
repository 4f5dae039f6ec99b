/**
 * A WebSocket that comes back: backoff, close codes, tokens, and what the page and the network go through.
 */

import { afterClose, backoffMs } from "./presence-policy.js";

/** The server answers a hello within 10 s, if only to say that it cannot. */
const WELCOME_TIMEOUT_MS = 15_000;
/** A connection that lasted this long has proven the server well: the backoff starts anew. */
const STABLE_MS = 5_000;
const NORMAL_CLOSURE = 1000;
const ABNORMAL_CLOSURE = 1006;

/**
 * `closed`: not wanted, or paused while the page is put away. `connecting`: until `welcome`. `open`: after it.
 * `waiting`: for the next attempt. `stopped`: for good, until `connect()` is called again.
 * @typedef {"closed" | "connecting" | "open" | "waiting" | "stopped"} ConnectionState
 */

/**
 * @typedef {object} ConnectionOwner
 * @property {(token: string) => string} hello writes the first frame
 * @property {(message: any) => void} onMessage
 * @property {(state: ConnectionState, detail: {code: number | null, retryInMs: number | null}) => void} onState
 * @property {(code: number | null, reason: string) => void} onStop
 * @property {(error: unknown) => void} onError
 * @property {() => void} onOffline the browser says that there is no network
 * @property {() => void} onPageHide
 */

export class Connection {
  #url;
  #tokens;
  #owner;
  #limits;
  /** @type {ConnectionState} */
  #state = "closed";
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {AbortController | null} */
  #listeners = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #attempt = 0;
  #run = 0;
  #welcomedAt = Infinity;

  /** A sign-out is on its way: the server's closing is its success. */
  leaving = false;

  /**
   * @param {string} url
   * @param {import("./presence-tokens.js").Tokens} tokens
   * @param {ConnectionOwner} owner
   * @param {{baseMs?: number, capMs?: number}} [limits] of the backoff
   */
  constructor(url, tokens, owner, limits) {
    this.#url = url;
    this.#tokens = tokens;
    this.#owner = owner;
    this.#limits = limits;
  }

  get state() {
    return this.#state;
  }

  /** Connect, unless that is so or under way; a wait for the next attempt is cut short. */
  start() {
    this.#listen();
    if (this.#state === "connecting" || this.#state === "open") return;
    if (this.#state !== "waiting") this.#attempt = 0;
    this.#open();
  }

  /** Leave the present socket, which may be dead without knowing, for a new one. */
  restart() {
    this.#attempt = 0;
    this.#open();
  }

  /** Close without signing out: the server forgives it for the disconnect grace. */
  close() {
    this.#end();
    if (this.#state !== "stopped") this.#setState("closed");
  }

  /** The server has said `welcome`. */
  welcomed() {
    clearTimeout(this.#timer);
    this.#welcomedAt = performance.now();
    this.#setState("open");
  }

  /**
   * @param {string} frame
   * @returns {boolean} whether it went out
   */
  send(frame) {
    if (this.#state !== "open" || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(frame);
    return true;
  }

  async #open() {
    this.#detach();
    const run = this.#run;
    this.#setState("connecting");
    this.#timer = setTimeout(() => this.#lost(ABNORMAL_CLOSURE), WELCOME_TIMEOUT_MS);
    let token;
    try {
      token = await this.#tokens.current();
    } catch (error) {
      if (run !== this.#run) return;
      this.#owner.onError(error);
      this.#lost(ABNORMAL_CLOSURE);
      return;
    }
    if (run !== this.#run) return;
    if (token === null) this.#stop(null, "no_token");
    else this.#dial(token);
  }

  /** @param {string} token */
  #dial(token) {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => socket.send(this.#owner.hello(token));
    socket.onmessage = ({ data }) => this.#owner.onMessage(JSON.parse(data));
    socket.onclose = ({ code }) => this.#lost(code);
  }

  /** @param {number} code */
  #lost(code) {
    if (this.leaving && code === NORMAL_CLOSURE) {
      this.#stop(code, "signed_out");
      return;
    }
    const lastedMs = performance.now() - this.#welcomedAt;
    this.#detach();
    const { retry, newToken, quick, stopReason } = afterClose(code, this.#tokens.refused);
    if (!retry) {
      this.#stop(code, stopReason ?? "refused");
      return;
    }
    if (newToken) this.#tokens.discard();
    if (quick || lastedMs >= STABLE_MS) this.#attempt = 0;
    const delayMs = backoffMs(this.#attempt, Math.random(), this.#limits);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), delayMs);
    this.#setState("waiting", code, delayMs);
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   */
  #stop(code, reason) {
    this.#end();
    this.#tokens.discard();
    this.#tokens.refused = false;
    this.#setState("stopped", code);
    this.#owner.onStop(code, reason);
  }

  #end() {
    this.#listeners?.abort();
    this.#listeners = null;
    this.#detach();
  }

  /** Forget the present socket and whatever was planned. */
  #detach() {
    this.#run += 1;
    clearTimeout(this.#timer);
    this.#tokens.pause();
    this.#welcomedAt = Infinity;
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(NORMAL_CLOSURE);
  }

  /**
   * @param {ConnectionState} state
   * @param {number | null} [code]
   * @param {number | null} [retryInMs]
   */
  #setState(state, code = null, retryInMs = null) {
    if (state === this.#state && state !== "waiting") return;
    this.#state = state;
    this.#owner.onState(state, { code, retryInMs });
  }

  #listen() {
    if (this.#listeners !== null) return;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    window.addEventListener("online", () => this.restart(), { signal });
    window.addEventListener("offline", () => this.#owner.onOffline(), { signal });
    window.addEventListener("pagehide", () => this.#pause(), { signal });
    window.addEventListener("pageshow", ({ persisted }) => persisted && this.start(), { signal });
    const onVisible = () => document.visibilityState === "visible" && this.#state === "waiting" && this.start();
    document.addEventListener("visibilitychange", onVisible, { signal });
  }

  /** The page is left. It may come back as it was, which an open socket would prevent. */
  #pause() {
    this.#owner.onPageHide();
    this.#detach();
    this.#setState("closed");
  }
}
