/**
 * The browser's client of the presence server.
 *
 *     const client = new PresenceClient({ getToken: async () => (await fetch("/presence-token")).text() });
 *     client.addEventListener("status", ({ detail: { team, changes } }) => { … });
 *     client.connect();
 *
 * An ES module without dependencies. Decisions stand in presence-roster.js, presence-teams.js and presence-policy.js,
 * which are pure; this file and presence-connection.js carry them out.
 */

import { Connection } from "./presence-connection.js";
import { Freshness } from "./presence-freshness.js";
import { Heartbeats } from "./presence-heartbeats.js";
import { buildHello, readToken } from "./presence-policy.js";
import { PresenceError, Requests } from "./presence-requests.js";
import { Teams } from "./presence-teams.js";
import { Tokens } from "./presence-tokens.js";

export { PresenceError };

/**
 * @typedef {import("./presence-roster.js").Presence} Presence
 * @typedef {import("./presence-teams.js").Self} Self
 * @typedef {import("./presence-requests.js").Request} Request
 * @typedef {import("./presence-connection.js").ConnectionState} ConnectionState
 */

/**
 * @typedef {object} Options
 * @property {import("./presence-tokens.js").GetToken} getToken
 * @property {string | URL} [url] of the WebSocket; `/v1/ws` of the page's own host when left out. It may be
 *   relative to the page, and http means ws
 * @property {number} [staleAfterMs] how long a lost connection goes unmentioned by `feed`; 2000
 * @property {number} [answerTimeoutMs] how long a request may stay unanswered; 15000
 * @property {{baseMs?: number, capMs?: number}} [backoff] 1000 and 30000
 */

/**
 * Events, all of them `CustomEvent`s:
 *
 * - `status` `{team, changes}`: who changed, as a `Map` from user to `{before, after}`
 * - `self` `{team, chosen, idleTimeoutMs}`: the user's own choice, or his team's idle timeout
 * - `teams` `{teams}`: the teams of this connection
 * - `feed` `{live}`: whether statuses are fresh, or may be out of date
 * - `connection` `{state, code, retryInMs}`
 * - `signedout` `{code, reason}`: the client has stopped, and will not come back by itself
 * - `error` `{error}`: something failed that nobody is waiting for
 */
export class PresenceClient extends EventTarget {
  #teams = new Teams();
  /** @type {string | null} */
  #connectionId = null;
  #feedLive = true;
  #networkUp = true;
  #freshness;
  #heartbeats;
  #requests;
  #tokens;
  #connection;

  /** @param {Options} options */
  constructor({ getToken, url = "/v1/ws", staleAfterMs = 2_000, answerTimeoutMs = 15_000, backoff }) {
    super();
    /** @param {unknown} error */
    const onError = (error) => this.#emit("error", { error });
    this.#freshness = new Freshness(staleAfterMs, (live) => this.#emit("feed", { live }));
    this.#heartbeats = new Heartbeats(
      (idleMs) => this.#connection.send(JSON.stringify({ type: "heartbeat", idle_ms: idleMs })),
      () => this.#connection.restart(),
    );
    this.#requests = new Requests(answerTimeoutMs);
    this.#tokens = new Tokens(getToken, (token) => this.#renew(token), onError);
    const owner = {
      hello: this.#hello.bind(this),
      onMessage: this.#onMessage.bind(this),
      onState: this.#onState.bind(this),
      onStop: this.#onStop.bind(this),
      onOffline: this.#onOffline.bind(this),
      onPageHide: () => this.#heartbeats.remember(),
      onError,
    };
    this.#connection = new Connection(socketUrl(url), this.#tokens, owner, backoff);
  }

  /** @returns {ConnectionState} */
  get state() {
    return this.#connection.state;
  }

  /** Whether statuses are fresh. */
  get live() {
    return this.#freshness.live;
  }

  /** The user this connection is of; null until the first `welcome`. */
  get user() {
    return this.#teams.user;
  }

  /** The teams this connection is a member of. */
  get teams() {
    return this.#teams.names;
  }

  /**
   * What teammates see of a user.
   * @param {string} team
   * @param {string} user
   * @returns {Presence | null} null when not known: nothing has arrived yet, or he is not watched
   */
  status(team, user) {
    return this.#teams.status(team, user);
  }

  /**
   * @param {string} team
   * @returns {Map<string, Presence>} by user; who is absent is offline
   */
  users(team) {
    return this.#teams.users(team);
  }

  /**
   * The user's own choice and the team's idle timeout, by the server's word.
   * @param {string} team
   * @returns {Self | null} null until it has arrived
   */
  self(team) {
    return this.#teams.self(team);
  }

  /** Connect, and stay connected until `close`, `logout` or the server's final word. */
  connect() {
    this.#heartbeats.listen();
    this.#connection.start();
  }

  /** Close without signing out: teammates see nothing for the disconnect grace. */
  close() {
    this.#end(new PresenceError("unavailable", "Expected a connected client, got one that was closed"));
    this.#connection.close();
  }

  /**
   * Choose a status. It holds for every tab and is remembered.
   * @param {"online" | "busy"} status
   * @param {string} [team] every team of the connection when left out
   * @returns {Promise<void>} fulfilled when it is stored
   * @throws {PresenceError} as a rejection: `status_not_selectable`, `not_a_member`, `rate_limited`, `unavailable`, …
   */
  setStatus(status, team) {
    return this.#ask("set_status", team === undefined ? { status } : { status, team });
  }

  /**
   * Narrow what this connection is told to some users and himself, or widen it again. It holds over reconnects.
   * @param {string} team
   * @param {string[] | "all"} users at most 1000
   * @returns {Promise<void>} fulfilled when the server does so
   * @throws {PresenceError} as a rejection: `too_many_users`, `not_a_member`, `unavailable`, …
   */
  async watch(team, users) {
    const before = this.#teams.watched(team);
    const wanted = users === "all" ? users : [...users];
    this.#teams.watch(team, wanted);
    try {
      await this.#ask("watch", { team, users: wanted });
      this.#teams.told(team);
    } catch (error) {
      if (this.#teams.watched(team) === wanted) this.#teams.watch(team, before);
      throw error;
    }
  }

  /**
   * End the session: every tab of this sign-in, at once and for good.
   * @returns {Promise<void>} fulfilled when the server has closed
   * @throws {PresenceError} as a rejection: `unavailable`, when the server could not be told; the client closes all
   *   the same
   */
  async logout() {
    if (this.state === "stopped") return;
    this.#connection.leaving = true;
    const answered = this.#ask("logout", {});
    if (this.state === "waiting") this.#connection.start();
    try {
      await answered;
    } finally {
      this.#connection.leaving = false;
      this.close();
    }
  }

  /**
   * @param {string} type
   * @param {Record<string, unknown>} fields
   */
  #ask(type, fields) {
    if (this.state === "closed" || this.state === "stopped") {
      const message = `Expected a connected client, got one that is ${this.state}: call connect() first`;
      return Promise.reject(new PresenceError("unavailable", message));
    }
    const { request, answered } = this.#requests.add(type, fields);
    this.#sendRequest(request);
    return answered;
  }

  /** @param {Request} request */
  #sendRequest(request) {
    if (this.#connection.send(JSON.stringify(request.message))) request.sends += 1;
  }

  /** @param {string} token */
  async #renew(token) {
    await this.#ask("renew", { token });
    const { teams } = readToken(token);
    if (teams !== null) this.#dropTeams(this.#teams.setNames(teams));
  }

  /** @param {string} token */
  #hello(token) {
    const idleMs = this.#heartbeats.hello();
    const { frame, deferred } = buildHello({ token, idleMs, replaces: this.#connectionId, ...this.#teams.begin() });
    for (const team of deferred) this.#teams.notTold(team);
    return frame;
  }

  /** @param {any} message */
  #onMessage(message) {
    this.#networkUp = true;
    if (message.type === "welcome") this.#onWelcome(message);
    else if (message.type === "self") this.#onSelf(message);
    else if (message.type === "snapshot" || message.type === "delta") this.#onRoster(message);
    else if (message.type === "ack") this.#requests.resolve(message.id);
    else if (message.type === "error") this.#onError(message);
    else if (message.type === "feed") this.#feedLive = message.live;
    this.#updateLive(!this.#feedLive);
  }

  /**
   * @param {{user: string, connection: string, teams: string[], heartbeat_ms: number, server_time: number,
   *   token_expires_at: number}} message
   */
  #onWelcome({ user, connection, teams, heartbeat_ms, server_time, token_expires_at }) {
    this.#teams.user = user;
    this.#connectionId = connection;
    this.#feedLive = true;
    this.#tokens.accepted(server_time, token_expires_at);
    this.#dropTeams(this.#teams.welcomed(teams));
    this.#connection.welcomed();
    this.#heartbeats.start(heartbeat_ms);
    this.#restate();
  }

  /** Say what the hello could not, and once more what the lost connection left unanswered. */
  #restate() {
    const untold = new Map(this.#teams.untold().map(({ team, users }) => [team, users]));
    for (const request of this.#requests.pending()) {
      const { type, team } = request.message;
      if (type === "watch" && !untold.delete(String(team))) request.resolve();
      else if (type === "set_status" && request.sends > 1) request.reject(lostTwice());
      else this.#sendRequest(request);
    }
    for (const [team, users] of untold) {
      this.watch(team, users).catch((error) => this.#emit("error", { error }));
    }
  }

  /** @param {{team: string, chosen: "online" | "busy", idle_timeout_ms: number}} message */
  #onSelf(message) {
    const self = this.#teams.applySelf(message);
    this.#heartbeats.setIdleTimeout(message.team, self.idleTimeoutMs);
    this.#emit("self", { team: message.team, ...self });
  }

  /** @param {any} message */
  #onRoster(message) {
    const changes = this.#teams.applyRoster(message);
    if (changes !== null && changes.size > 0) this.#emit("status", { team: message.team, changes });
  }

  /** @param {{id?: number, code: string, message: string, retry_ms?: number}} message */
  #onError({ id, code, message, retry_ms }) {
    const error = new PresenceError(code, message, retry_ms ?? null);
    if (id === undefined || !this.#requests.reject(id, error)) this.#emit("error", { error });
  }

  /**
   * @param {ConnectionState} state
   * @param {{code: number | null, retryInMs: number | null}} detail
   */
  #onState(state, detail) {
    if (state !== "open") {
      this.#heartbeats.pause();
      this.#requests.abandon("renew");
    }
    this.#emit("connection", { state, ...detail });
    this.#updateLive(false);
  }

  /**
   * @param {number | null} code
   * @param {string} reason
   */
  #onStop(code, reason) {
    if (reason === "signed_out") this.#requests.resolveAll("logout");
    this.#end(new PresenceError("unavailable", `Expected a connected client, got one that was stopped: ${reason}`));
    this.#emit("signedout", { code, reason });
  }

  #onOffline() {
    this.#networkUp = false;
    this.#updateLive(true);
  }

  /** @param {readonly string[]} gone */
  #dropTeams(gone) {
    for (const team of gone) this.#heartbeats.setIdleTimeout(team, null);
    this.#emit("teams", { teams: this.teams });
  }

  /** @param {boolean} atOnce false: the connection may be back before anybody needs to know */
  #updateLive(atOnce) {
    const live = this.state === "open" && this.#teams.synced && this.#feedLive && this.#networkUp;
    this.#freshness.update(live, atOnce);
  }

  /** @param {PresenceError} error for whoever still waits for an answer */
  #end(error) {
    this.#heartbeats.end();
    this.#requests.rejectAll(error);
    this.#freshness.update(false, true);
  }

  /**
   * @param {string} type
   * @param {object} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function lostTwice() {
  return new PresenceError("unavailable", "Expected an answer, got a lost connection twice");
}

/**
 * @param {string | URL} url
 * @returns {string}
 */
function socketUrl(url) {
  const absolute = new URL(url, location.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute.href;
}
