/**
 * One tab's end of the connection: it brings tokens and input, says whom the page wants to hear of, and keeps its view as
 * the hub tells it (hub.js is the other end). When the hub falls silent, it finds another one.
 */

import { recallIdle, rememberIdle, watchActivity } from "./activity.js";
import { stopped } from "./closing.js";
import { PresenceError } from "./errors.js";
import { kindsOfLinks, openLink } from "./link.js";
import { deliverSignouts, keepSignout } from "./signouts.js";
import { backoffMs, realClock } from "./time.js";
import { askForToken, readToken } from "./tokens.js";
import { VERSION } from "./version.js";

const INPUT_MS = 250;
const PING_MS = 10_000;
/** How long a hub may take to answer: one that is there does in milliseconds; a worker has to be loaded first. */
const ANSWER_MS = 3_000;
const FIRST_ANSWER_MS = 5_000;
const LATE_MS = 1_500;
/** How long what is shown stays fresh while one hub hands over to the next. */
const LOST_MS = 4_000;
const ASK_MS = 20_000;
const LOGOUT_MS = 3_000;
const LARGE_KEY = "presence:large";

/**
 * @typedef {import("./types.js").State} State
 * @typedef {{message: any, resolve: (answer: any) => void, reject: (error: Error) => void, timer: any}} Ask
 */

export class Tab {
  /** @type {State} */
  state = "closed";
  #options;
  #view;
  #emit;
  #clock;
  #kinds;
  /** @type {import("./link.js").Link | null} */
  #link = null;
  /** @type {string | null} */
  #token = null;
  #key = "";
  /** @type {string | null} */
  #connection = null;
  /** @type {AbortController | null} */
  #listening = null;
  /** @type {Map<number, Ask>} */
  #asks = new Map();
  #lastId = 0;
  /** What is still to be told of whom the page wants, by team and user. @type {Map<string, [string, string | null, boolean]>} */
  #wants = new Map();
  /** @type {((told: boolean) => void) | null} */
  #leaving = null;
  #run = 0;
  #lastInput = Number.NEGATIVE_INFINITY;
  #inputTold = Number.NEGATIVE_INFINITY;
  #heard = false;
  #strikes = 0;
  /** @type {any} */
  #silence;
  /** @type {any} */
  #ping;
  /** @type {any} */
  #lost;
  #retry = () => {};
  /** The server's clock less this one's; null while that is not known. @type {number | null} */
  #ahead = null;

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
    this.#kinds = kindsOfLinks(options.tabs !== "each" && !options.WebSocket && !options.clock);
  }

  serverNow() {
    return this.#ahead === null ? Date.now() : Math.round(this.#clock.now() + this.#ahead);
  }

  connect() {
    if (this.state !== "closed" && this.state !== "stopped") {
      this.#retry();
      this.#post({ t: "seen" });
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

  /**
   * @param {string} team
   * @param {string | null} user
   * @param {boolean} wanted
   */
  want(team, user, wanted) {
    if (this.#wants.size === 0) queueMicrotask(() => this.#tellWants());
    this.#wants.set(`${team} ${user ?? ""}`, [team, user, wanted]);
  }

  /** @param {boolean} [called] by the page itself, which knows what it does */
  input(called = false) {
    const now = this.#clock.now();
    this.#lastInput = now;
    if (now - this.#inputTold < INPUT_MS && !called) return;
    this.#inputTold = now;
    this.#retry();
    this.#post({ t: "input", idleMs: 0 });
    this.#expect();
  }

  /**
   * @param {string} type
   * @param {object} fields
   * @returns {Promise<any>}
   */
  ask(type, fields) {
    if (this.state === "closed" || this.state === "stopped")
      return Promise.reject(
        new PresenceError("unavailable", `Expected a connected client, got one that is ${this.state}`),
      );
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const late = new PresenceError("unavailable", `Expected an answer within ${ASK_MS} ms, got none`);
      const timer = this.#clock.setTimeout(() => this.#answer(id, (ask) => ask.reject(late)), ASK_MS);
      const message = { t: "ask", id, type, fields };
      this.#asks.set(id, { message, resolve, reject, timer });
      this.#retry();
      this.#post(message);
      this.#expect();
    });
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
      this.#setState("connecting");
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
    this.#setState("waiting", null, this.serverNow() + ms);
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
    if (broken && this.#kinds[0] === "worker" && !this.#heard) this.#kinds.shift();
    this.#unlink();
    this.#heard = false;
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
    this.#join();
    this.#beat();
  }

  #join() {
    this.#lost ??= this.#clock.setTimeout(() => this.#setLive([]), LOST_MS);
    this.#post({
      t: "join",
      version: VERSION,
      key: this.#key,
      url: this.#url,
      team: this.#options.team ?? "",
      token: this.#token,
      replaces: this.#connection,
      idleMs: this.#clock.now() - this.#lastInput,
      large: recallLarge(),
    });
    this.#post({ t: "want", add: this.#view.wanted(), drop: [] });
    for (const { message } of this.#asks.values()) this.#post(message);
    if (this.#leaving) this.#post({ t: "logout" });
    this.#expect();
  }

  /** @param {any} message */
  #post(message) {
    this.#link?.post({ ...message, visible: globalThis.document?.visibilityState !== "hidden" });
  }

  #tellWants() {
    const changes = [...this.#wants.values()];
    this.#wants.clear();
    /** @param {boolean} which */
    const pick = (which) => changes.filter(([, , wanted]) => wanted === which).map(([team, user]) => [team, user]);
    this.#post({ t: "want", add: pick(true), drop: pick(false) });
  }

  /** Something was said to which there is an answer: without one, the hub is dead. */
  #expect() {
    if (!this.#link || this.#silence !== undefined || this.#kinds[0] === "here") return;
    const ms = this.#heard ? ANSWER_MS : FIRST_ANSWER_MS;
    const dueAt = this.#clock.now() + ms;
    this.#silence = this.#clock.setTimeout(() => {
      this.#silence = undefined;
      // This page itself was asleep: what was answered meanwhile is still to come.
      const late = this.#clock.now() - dueAt > LATE_MS && this.#strikes++ === 0;
      if (late) this.#post({ t: "ping" });
      if (late) this.#expect();
      else this.#relink(true);
    }, ms);
  }

  #beat() {
    this.#clock.clearTimeout(this.#ping);
    if (this.#kinds[0] === "here") return;
    this.#ping = this.#clock.setTimeout(() => {
      this.#post({ t: "ping" });
      this.#expect();
      this.#beat();
    }, PING_MS);
  }

  /** @param {State} state that this is */
  #leave(state) {
    this.#run += 1;
    this.#retry();
    this.#post({ t: "bye" });
    this.#unlink();
    this.#forgetLost();
    this.#setState(state);
    this.#setLive([]);
    const gone = new PresenceError("unavailable", `Expected a connected client, got one that is ${state}`);
    if (state !== "connecting") for (const id of [...this.#asks.keys()]) this.#answer(id, (ask) => ask.reject(gone));
  }

  #unlink() {
    this.#clock.clearTimeout(this.#silence);
    this.#clock.clearTimeout(this.#ping);
    this.#silence = undefined;
    this.#strikes = 0;
    this.#link?.close();
    this.#link = null;
  }

  // --- from the hub --------------------------------------------------------------------------------------------------

  /** @param {any} message */
  #receive(message) {
    this.#heard = true;
    this.#strikes = 0;
    this.#clock.clearTimeout(this.#silence);
    this.#silence = undefined;
    const { t, team } = message;
    if (t === "state") this.#applyState(message);
    else if (t === "self") this.#view.setOwn(team, message.own);
    else if (t === "users") this.#view.apply(team, message.entries, message.full);
    else if (t === "answer") this.#onAnswer(message);
    else if (t === "token") this.#bringToken(message);
    else if (t === "warning") this.#emit("warning", { team, offlineAt: message.offlineAt });
    else if (t === "error") this.#emit("error", { error: new PresenceError(message.code, message.message) });
    else if (t === "large") rememberLarge(team);
    else if (t === "stop") this.#stop(message);
    else if (t === "who") this.#join();
  }

  /** @param {any} message */
  #applyState({ state, code, retryAt, user, connection, teams, live, settled, now, wall }) {
    // One that has just taken over knows less than this page.
    if (settled) this.#forgetLost();
    if (connection !== null) {
      this.#connection = connection;
      // Said by a clock of this machine: what lay in a queue since then has aged by the difference.
      const agedMs = this.#options.clock ? 0 : Date.now() - wall;
      this.#ahead = now + agedMs - this.#clock.now();
      if (this.#view.setTeams(user, teams)) this.#emit("teams", { teams });
    }
    this.#setState(state, code, retryAt);
    this.#setLive(settled ? live : [...live, ...this.#view.names.filter((team) => this.#view.live(team))]);
  }

  #forgetLost() {
    this.#clock.clearTimeout(this.#lost);
    this.#lost = undefined;
  }

  /** @param {string[]} live the teams whose statuses are fresh */
  #setLive(live) {
    const changed = this.#view.names.filter((team) => this.#view.setLive(team, live.includes(team)));
    if (changed.length > 0 && changed.length === this.#view.names.length)
      this.#emit("feed", { live: live.length > 0, team: null });
    else for (const team of changed) this.#emit("feed", { live: live.includes(team), team });
  }

  /** @param {any} message */
  #onAnswer({ id, error, answer }) {
    this.#answer(id, ({ message, resolve, reject }) => {
      if (error) reject(new PresenceError(error.code, error.message));
      else resolve(message.type === "explain" ? explanation(answer) : undefined);
    });
  }

  /** @param {number} id @param {(ask: Ask) => void} settle */
  #answer(id, settle) {
    const ask = this.#asks.get(id);
    this.#asks.delete(id);
    this.#clock.clearTimeout(ask?.timer);
    if (ask) settle(ask);
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

  /** @param {State} state @param {number | null} [code] @param {number | null} [retryAt] */
  #setState(state, code = null, retryAt = null) {
    if (state === this.state && state !== "waiting") return;
    this.state = state;
    this.#emit("connection", { state, code, retryAt });
  }

  // --- what happens to the page --------------------------------------------------------------------------------------

  #listen() {
    if (this.#listening || !("document" in globalThis)) return;
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    watchActivity(() => this.input(), signal);
    /** @param {EventTarget} target @param {string} type @param {(event: any) => void} fn */
    const on = (target, type, fn) => target.addEventListener(type, fn, { signal });
    on(document, "visibilitychange", () => {
      this.#post({ t: document.visibilityState === "visible" ? "seen" : "ping" });
      if (document.visibilityState === "visible") this.#retry();
      this.#expect();
    });
    for (const type of ["online", "offline"])
      on(window, type, () => {
        this.#retry();
        this.#post({ t: "network", up: type === "online" });
      });
    on(window, "pagehide", () => {
      rememberIdle(this.#clock.now() - this.#lastInput);
      this.#leave("closed");
    });
    on(window, "pageshow", ({ persisted }) => persisted && this.connect());
    on(document, "freeze", () => this.#link?.yield?.());
    on(document, "resume", () => this.#token && this.#relink());
  }
}

/** @param {any} answer @returns {import("./types.js").Explanation} */
function explanation({ team, status, since, reason, chosen, last_active, connections, next_change, next_change_at }) {
  const [lastActive, nextChange, nextChangeAt] = [last_active, next_change, next_change_at];
  return { team, status, since, reason, chosen, lastActive, connections, nextChange, nextChangeAt };
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

/** @returns {string[]} */
function recallLarge() {
  try {
    return JSON.parse(localStorage.getItem(LARGE_KEY) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {string} team */
function rememberLarge(team) {
  try {
    localStorage.setItem(LARGE_KEY, JSON.stringify([...new Set([...recallLarge(), team])].slice(-100)));
  } catch {
    // Storage can be forbidden; then the next page finds out by itself.
  }
}
