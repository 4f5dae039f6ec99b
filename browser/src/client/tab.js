/**
 * One tab's end of the connection: it brings tokens and input, says whom the page wants to hear of, and keeps its view as
 * the hub tells it (hub.js is the other end). When the hub falls silent, it finds another one.
 */

import { watchActivity } from "./activity.js";
import { stopped } from "./closing.js";
import { PresenceError } from "./errors.js";
import { kindsOfLinks, openLink } from "./link.js";
import { recallIdle, recallLarge, rememberIdle, rememberLarge } from "./memory.js";
import { Mirror } from "./mirror.js";
import { watchPage } from "./page.js";
import { Questions } from "./questions.js";
import { deliverSignouts, keepSignout } from "./signouts.js";
import { backoffMs, realClock } from "./time.js";
import { askForToken, readToken } from "./tokens.js";
import { VERSION } from "./version.js";
import { Wants } from "./wants.js";
import { Watchdog } from "./watchdog.js";

const INPUT_MS = 250;
const LOGOUT_MS = 3_000;
/** @typedef {import("./types.js").State} State */

export class Tab {
  /** Whom the page wants to hear of. */
  wants = new Wants((message) => this.#post(message));
  #options;
  #view;
  #emit;
  #clock;
  #kinds;
  #mirror;
  #questions;
  #watchdog;
  /** @type {import("./link.js").Link | null} */
  #link = null;
  /** @type {string | null} */
  #token = null;
  #key = "";
  /** @type {AbortController | null} */
  #listening = null;
  /** @type {((told: boolean) => void) | null} */
  #leaving = null;
  #run = 0;
  #lastInput = Number.NEGATIVE_INFINITY;
  #inputTold = Number.NEGATIVE_INFINITY;
  #retry = () => {};
  /**
   * @param {import("./types.js").Options & {link?: (receive: (message: any) => void) => import("./link.js").Link}} options
   *   `link`: of a test, instead of a connection
   * @param {import("./view.js").View} view
   * @param {(type: any, detail: any) => void} emit
   */
  constructor(options, view, emit) {
    this.#options = options;
    this.#view = view;
    this.#emit = emit;
    this.#clock = options.clock ?? realClock();
    this.#mirror = new Mirror(view, emit, this.#clock, options.clock !== undefined);
    this.#questions = new Questions(this.#clock);
    const ping = () => this.#post({ t: "ping" });
    this.#watchdog = new Watchdog(this.#clock, ping, () => this.#relink(true));
    this.#kinds = kindsOfLinks(options.tabs !== "each" && !options.WebSocket && !options.clock);
  }

  get state() {
    return this.#mirror.state;
  }

  serverNow() {
    return this.#mirror.serverNow();
  }

  connect() {
    if (this.state !== "closed" && this.state !== "stopped") {
      this.#retry();
      this.#post({ t: "seen" });
      return;
    }
    if (globalThis.document && "prerendering" in document && document.prerendering) {
      // Nobody has come here yet.
      document.addEventListener("prerenderingchange", () => this.connect(), { once: true });
      return;
    }
    this.#lastInput = Math.max(this.#lastInput, this.#clock.now() - recallIdle());
    this.#listen();
    if (this.#options.link) {
      this.#relink();
      return;
    }
    deliverSignouts(this.#WebSocket, this.#clock);
    this.#begin();
  }

  close() {
    this.#leave("closed");
    this.#listening?.abort();
    this.#listening = null;
  }

  /** @param {boolean} [called] by the page itself, which knows what it does */
  input(called = false) {
    const now = this.#clock.now();
    this.#lastInput = now;
    if (now - this.#inputTold < INPUT_MS && !called) return;
    this.#inputTold = now;
    this.#tell({ t: "input", idleMs: 0 });
  }

  /**
   * @param {string} type
   * @param {object} fields
   * @returns {Promise<any>}
   */
  async ask(type, fields) {
    if (this.state === "closed" || this.state === "stopped") throw notConnected(this.state);
    this.#retry();
    return this.#questions.ask(type, fields, (message) => this.#tell(message));
  }

  /** @returns {Promise<{told: boolean}>} */
  async logout() {
    if (this.state === "stopped") return { told: true };
    const token = this.#token;
    const told = await new Promise((resolve) => {
      this.#leaving = resolve;
      this.#clock.setTimeout(() => resolve(false), LOGOUT_MS);
      if (this.#link) this.#post({ t: "logout" });
      else if (this.state === "closed") resolve(false);
    });
    this.#leaving = null;
    if (!told && token) keepSignout({ url: this.#url, token });
    this.#stop({ ...stopped(4506, ""), told });
    return { told };
  }

  // --- to the hub ----------------------------------------------------------------------------------------------------

  get #url() {
    if (this.#options.link) return "";
    const url = new URL(this.#options.url ?? "/v1/ws", globalThis.location?.href);
    url.protocol = url.protocol.replace("http", "ws");
    return url.href;
  }

  get #WebSocket() {
    return this.#options.WebSocket ?? WebSocket;
  }

  /** Get a token, whose user and session say whom to share with; then join them. */
  async #begin() {
    const run = ++this.#run;
    for (let attempt = 0; ; attempt++) {
      this.#mirror.setState("connecting");
      try {
        const token = await askForToken(this.#options.getToken, "connect", this.#clock);
        if (run !== this.#run) return;
        this.#adopt(token);
        return;
      } catch (error) {
        if (run !== this.#run) return;
        if (attempt === 0) this.#emit("error", { error });
        await this.#wait(backoffMs(attempt));
        if (run !== this.#run) return;
      }
    }
  }

  /** @param {number} ms unless somebody wants something */
  #wait(ms) {
    this.#mirror.setState("waiting", null, this.serverNow() + ms);
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => this.#retry(), ms);
      this.#retry = () => {
        this.#clock.clearTimeout(timer);
        this.#retry = () => {};
        resolve(undefined);
      };
    });
  }

  /** @param {string | null} token */
  #adopt(token) {
    const claims = readToken(token);
    if (!claims) {
      this.#stop({ ...stopped(null, ""), told: true });
      return;
    }
    this.#token = token;
    this.#key = JSON.stringify([this.#url, claims.key]);
    this.#relink();
  }

  /** @param {boolean} [broken] whether the present link is */
  #relink(broken = false) {
    if (broken && this.#kinds[0] === "worker" && !this.#watchdog.heard) this.#kinds.shift();
    this.#unlink();
    const steal = broken && this.#kinds[0] === "channel";
    const spec = {
      url: this.#url,
      key: this.#key,
      environment: { WebSocket: this.#options.WebSocket ?? globalThis.WebSocket, clock: this.#clock },
      receive: (/** @type {any} */ message) => link === this.#link && this.#receive(message),
      onBroken: () => link === this.#link && this.#relink(true),
    };
    /** @type {import("./link.js").Link | null} */
    let link = null;
    try {
      link = this.#options.link?.(spec.receive) ?? openLink(this.#kinds[0], spec, steal);
    } catch {
      // A page of another origin, or a policy that forbids it.
      this.#kinds.shift();
      this.#relink();
      return;
    }
    this.#link = link;
    this.#watchdog.restart(this.#kinds[0] !== "here");
    this.#join();
  }

  #join() {
    this.#mirror.begin();
    this.#post({
      t: "join",
      version: VERSION,
      key: this.#key,
      url: this.#url,
      team: this.#options.team ?? "",
      token: this.#token,
      replaces: this.#mirror.connection,
      idleMs: this.#clock.now() - this.#lastInput,
      large: recallLarge(),
    });
    this.wants.tellAll(this.#view.listeners.wanted());
    for (const question of this.#questions.open()) this.#post(question);
    if (this.#leaving) this.#post({ t: "logout" });
    this.#watchdog.expect();
  }

  /** @param {any} message */
  #post(message) {
    this.#link?.post({ ...message, visible: globalThis.document?.visibilityState !== "hidden" });
  }

  /** Say something to which there is an answer. @param {any} message */
  #tell(message) {
    this.#post(message);
    this.#watchdog.expect();
  }

  /** @param {State} state that this is */
  #leave(state) {
    this.#run += 1;
    this.#retry();
    this.#post({ t: "bye" });
    this.#unlink();
    this.#mirror.end(state);
    if (state !== "connecting") this.#questions.rejectAll(notConnected(state));
  }

  #unlink() {
    this.#watchdog.restart(false);
    this.#link?.close();
    this.#link = null;
  }

  // --- from the hub --------------------------------------------------------------------------------------------------

  /** @param {any} message */
  #receive(message) {
    this.#watchdog.hear();
    const { t, team } = message;
    if (t === "state") this.#mirror.apply(message);
    else if (t === "self") this.#view.setOwn(team, message.own);
    else if (t === "users") this.#view.apply(team, message.entries, message.full);
    else if (t === "answer") this.#questions.answered(message);
    else if (t === "token") this.#bringToken(message);
    else if (t === "warning") this.#emit("warning", { team, offlineAt: message.offlineAt });
    else if (t === "error") this.#emit("error", { error: new PresenceError(message.code, message.message) });
    else if (t === "large") rememberLarge(team);
    else if (t === "stop") this.#stop(message);
    else if (t === "who") this.#join();
  }

  /** @param {{id: number, why: "connect" | "renew" | "refused"}} message */
  async #bringToken({ id, why }) {
    const run = this.#run;
    try {
      const token = await askForToken(this.#options.getToken, why, this.#clock);
      if (run !== this.#run) return;
      const claims = readToken(token);
      if (claims && !sameSession(claims.key, this.#key)) {
        // Somebody else has signed in: his page is not theirs any more.
        this.#leave("connecting");
        this.#adopt(token);
        return;
      }
      this.#token = token ?? this.#token;
      this.#post({ t: "token", id, token });
    } catch (error) {
      const { code, message } = /** @type {PresenceError} */ (error);
      if (run === this.#run) this.#post({ t: "token", id, error: { code, message } });
    }
  }

  /** @param {{code: number | null, reason: string, message: string, told: boolean}} end */
  #stop({ code, reason, message, told }) {
    if (this.state === "stopped") return;
    this.#leaving?.(told);
    this.#leave("stopped");
    this.#listening?.abort();
    this.#listening = null;
    this.#token = null;
    console[reason === "signed_out" || reason === "no_token" ? "info" : "warn"](message);
    this.#emit("signedout", { code, reason, message });
  }

  // --- what happens to the page --------------------------------------------------------------------------------------

  #listen() {
    if (this.#listening || !("document" in globalThis)) return;
    this.#listening = new AbortController();
    watchActivity(() => this.input(), this.#listening.signal);
    watchPage(this, this.#listening.signal);
  }

  /** @param {boolean} visible */
  onSeen(visible) {
    if (visible) this.#retry();
    this.#tell({ t: visible ? "seen" : "ping" });
  }

  /** @param {boolean} up */
  onNetwork(up) {
    this.#retry();
    this.#post({ t: "network", up });
  }

  onLeft() {
    rememberIdle(this.#clock.now() - this.#lastInput);
    this.#leave("closed");
  }

  onBack() {
    this.connect();
  }

  onFreeze() {
    this.#link?.yield?.();
  }

  onThaw() {
    if (this.#token && this.#kinds[0] !== "here") this.#relink();
    else this.onSeen(true);
  }
}

/** @param {State} state */
function notConnected(state) {
  return new PresenceError("unavailable", `Expected a connected client, got one that is ${state}`);
}

/**
 * Whether a renewed token belongs to the connection: of the same user and session; its teams may be others.
 * @param {string} claimsKey
 * @param {string} key
 */
function sameSession(claimsKey, key) {
  const [, mine] = JSON.parse(key);
  return JSON.stringify(JSON.parse(claimsKey).slice(0, 2)) === JSON.stringify(JSON.parse(mine).slice(0, 2));
}
