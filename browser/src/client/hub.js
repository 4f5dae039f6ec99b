/**
 * The one connection of a browser, for all of its tabs: it lives in a shared worker, in the leading tab, or in a tab of its
 * own, and neither knows nor cares. Tabs talk to it in messages (tab.js is the other end):
 *
 * - from a tab: `join`, `want`, `input`, `seen`, `network`, `ask`, `token`, `logout`, `ping`, `bye`
 * - to a tab: `state`, `self`, `users`, `answer`, `token`, `warning`, `error`, `stop`, `pong`, `who`
 */

import { Asks } from "./asks.js";
import { Beats } from "./beats.js";
import { stopped } from "./closing.js";
import { Connection } from "./connection.js";
import { PresenceError } from "./errors.js";
import { Freshness } from "./freshness.js";
import { Renewal } from "./renewal.js";
import { Seats } from "./seats.js";
import { Teams } from "./teams.js";
import { readToken } from "./tokens.js";
import { Warnings } from "./warnings.js";

/** How long the connection is kept after the last tab has gone: mostly another page follows. */
const LINGER_MS = 3_000;
const LOGOUT_MS = 2_700;

/**
 * @typedef {{post: (message: any) => void}} Port
 * @typedef {{WebSocket: typeof globalThis.WebSocket, clock: import("./types.js").Clock}} Environment
 */

export class Hub {
  #clock;
  #onEnd;
  #seats;
  #teams;
  #asks;
  #connection;
  #renewal;
  #warnings;
  #beats;
  #freshness;
  /** @type {any} */
  #lingerTimer;
  /** @type {string | null} */
  #user = null;
  /** @type {string | null} */
  #connectionId = null;
  #networkUp = true;
  #welcomed = false;
  /** The server's clock less this one's. */
  #ahead = Date.now();

  /**
   * @param {string} url
   * @param {Environment} environment
   * @param {() => void} onEnd nobody is there any more, or it has stopped for good
   */
  constructor(url, { WebSocket, clock }, onEnd) {
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.#ahead -= clock.now();
    this.#seats = new Seats(clock);
    this.#connection = new Connection(url, this, WebSocket, clock);
    this.#asks = new Asks(this.#connection, clock, () => this.#teams.feedLive);
    this.#teams = new Teams(this.#seats, this.#asks, clock);
    this.#freshness = new Freshness(this.#teams, clock, () => this.#seats.post(this.#state()));
    this.#beats = new Beats(
      this.#connection,
      clock,
      () => this.#asks.nextId(),
      () => this.#freshness.update(false, true),
    );
    const serverNow = () => this.serverNow();
    this.#renewal = new Renewal(
      {
        ask: (why) => this.#seats.askForToken(why),
        renew: (token) => this.#renew(token),
        signedOut: () => this.#connection.stop(null, ""),
        onError: (error) => this.#tellError(error),
        serverNow,
      },
      clock,
    );
    this.#warnings = new Warnings(
      {
        lastInput: () => this.#beats.lastInput,
        serverNow,
        offline: (team) => this.#connection.state !== "open" || this.#teams.isOffline(team, this.#user),
        explain: (team, done) =>
          void this.#asks.add("explain", { team }, (error, answer) => done(error ? null : answer)),
        tell: (team, offlineAt) => this.#seats.post({ t: "warning", team, offlineAt }),
      },
      clock,
    );
  }

  /** How many tabs share it. */
  get size() {
    return this.#seats.size;
  }

  serverNow() {
    return this.#clock.now() + this.#ahead;
  }

  /**
   * @param {Port} port
   * @param {any} message
   */
  receive(port, message) {
    const seat = this.#seats.of(port, message);
    if (!seat) {
      if (message.t !== "bye") port.post({ t: "who" });
      return;
    }
    if (message.t === "join") this.#join(seat, message);
    else if (message.t === "want") this.#teams.want(seat, message);
    else if (message.t === "input") this.#input(message.idleMs);
    else if (message.t === "seen") this.#seen();
    else if (message.t === "network") this.#network(message.up);
    else if (message.t === "ask") this.#ask(seat, message);
    else if (message.t === "token") this.#seats.answerToken(seat, message);
    else if (message.t === "logout") this.#logout();
    else if (message.t === "bye") this.#leave(seat);
    // That it is here, however long the answer itself takes.
    if (message.t !== "bye") port.post({ t: "pong" });
  }

  /** The page that it is in is left, or nobody is there any more: nobody is told, since tabs that stay go to another one. */
  end() {
    this.#seats.clear();
    this.#warnings.end();
    this.#asks.end();
    this.#connection.close();
    this.#beats.pause();
    this.#freshness.end();
    this.#clock.clearTimeout(this.#lingerTimer);
  }

  // --- what tabs say -------------------------------------------------------------------------------------------------

  /** @param {import("./seats.js").Seat} seat @param {any} message */
  #join(seat, message) {
    this.#clock.clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    this.#renewal.token ??= message.token;
    this.#user ??= readToken(message.token)?.user ?? null;
    this.#connectionId ??= message.replaces;
    this.#input(message.idleMs);
    this.#teams.joined(message.large);
    if (this.#teams.names.length === 0) this.#setTeams(readToken(message.token)?.teams ?? []);
    this.#connection.start();
    seat.port.post(this.#state());
    this.#teams.tellAll(seat.port);
    for (const [team, offlineAt] of this.#warnings.standing) seat.port.post({ t: "warning", team, offlineAt });
  }

  /** @param {import("./seats.js").Seat} seat */
  #leave(seat) {
    this.#seats.remove(seat);
    if (this.#seats.size > 0 || this.#lingerTimer) return;
    this.#lingerTimer = this.#clock.setTimeout(() => {
      this.end();
      this.#onEnd();
    }, LINGER_MS);
  }

  /** @param {number} idleMs */
  #input(idleMs) {
    const before = this.#beats.lastInput;
    this.#beats.input(this.#clock.now() - idleMs);
    if (this.#beats.lastInput === before) return;
    if (this.#connection.state === "parked") this.#connection.start();
    this.#beats.plan();
    this.#warnings.begin();
  }

  /** Somebody looks at a page: whether the link is alive is worth asking at once. */
  #seen() {
    const { state } = this.#connection;
    if (state === "parked" || state === "waiting") this.#connection.start();
    else if (state === "open") this.#beats.ask();
  }

  /** @param {boolean} up */
  #network(up) {
    const was = this.#networkUp;
    this.#networkUp = up;
    if (up && !was) this.#connection.restart();
    this.#updateLive(!up);
  }

  /** @param {import("./seats.js").Seat} seat @param {any} message */
  #ask(seat, { id, type, fields }) {
    if (!this.#seats.begin(seat, id)) return;
    if (type === "set_status") this.#input(0);
    if (this.#connection.state === "waiting" || this.#connection.state === "parked") this.#connection.start();
    this.#asks.add(type, fields, (error, answer) => {
      const told = error ? { error: { code: error.code, message: error.message } } : { answer };
      this.#seats.end(seat, id);
      seat.port.post({ t: "answer", id, ...told });
    });
  }

  #logout() {
    if (this.#connection.leaving) return;
    this.#connection.leaving = true;
    this.#clock.setTimeout(() => this.#connection.stop(4506, "", false), LOGOUT_MS);
    if (!this.#connection.send({ type: "logout" })) this.#connection.start();
  }

  // --- what the connection says (connection.js) ----------------------------------------------------------------------

  /** @param {"connect" | "refused"} why */
  token(why) {
    return this.#renewal.current(why);
  }

  discardToken() {
    this.#renewal.discard();
  }

  inUse() {
    return this.#seats.inUse;
  }

  /** @param {string} token */
  hello(token) {
    const idleMs = Math.min(this.#beats.beat(this.#clock.now()), Number.MAX_SAFE_INTEGER);
    const hello = {
      type: "hello",
      token,
      idle_ms: idleMs,
      ...(this.#connectionId && { replaces: this.#connectionId }),
    };
    return this.#teams.hello(hello);
  }

  /** @param {any} message */
  onMessage(message) {
    this.#networkUp = true;
    const { type, team } = message;
    if (type === "welcome") this.#onWelcome(message);
    else if (type === "self") this.#onSelf(message);
    else if (type === "snapshot" || type === "delta") this.#onUsers(message);
    else if (type === "feed") this.#teams.setFeed(team ?? null, message.live);
    else if (!this.#asks.answered(message) && type === "error" && message.code !== "rate_limited")
      this.#tellError(new PresenceError(message.code, message.message));
    this.#updateLive(type === "feed" && !message.live);
  }

  onState() {
    if (this.#connection.state !== "open") {
      this.#renewal.pause();
      this.#asks.lost();
      this.#teams.lost();
      this.#warnings.end();
      this.#beats.pause();
    }
    if (this.#connection.state === "stopped") return;
    this.#updateLive(false);
    this.#seats.post(this.#state());
  }

  /** @param {number | null} code @param {string} reason @param {boolean} told */
  onStop(code, reason, told) {
    const token = this.#renewal.token;
    this.#renewal.discard();
    this.#seats.post({ t: "stop", ...stopped(code, reason), told, token });
    this.end();
    this.#onEnd();
  }

  /** @param {any} message */
  #onWelcome(message) {
    this.#welcomed = true;
    this.#user = message.user;
    this.#connectionId = message.connection;
    this.#ahead = message.server_time - this.#clock.now();
    this.#beats.heartbeatMs = message.heartbeat_ms;
    this.#setTeams(message.teams);
    this.#teams.welcomed();
    this.#renewal.accepted(message.token_expires_at);
    this.#connection.welcomed();
    if (this.#connection.leaving) this.#connection.send({ type: "logout" });
    this.#asks.resend();
    this.#teams.flush();
    this.#beats.plan();
    this.#warnings.begin();
  }

  /** @param {any} message */
  #onSelf({ team, chosen, idle_timeout_ms, contacts = [] }) {
    this.#teams.setOwn(team, { chosen, idleTimeoutMs: idle_timeout_ms, contacts });
    this.#beats.idleTimeoutMs = this.#teams.smallestTimeoutMs;
    this.#warnings.setTimeout(team, idle_timeout_ms);
    this.#beats.plan();
  }

  /** @param {any} message */
  #onUsers(message) {
    const before = this.#teams.isOffline(message.team, this.#user);
    const news = this.#teams.apply(message);
    // That it is fresh first, so that nobody is shown twice.
    this.#updateLive(false);
    if (news) this.#seats.post(news);
    this.#teams.flush();
    if (before !== this.#teams.isOffline(message.team, this.#user)) this.#warnings.begin([message.team]);
  }

  /** @param {string[]} names */
  #setTeams(names) {
    for (const team of this.#teams.setNames(names)) this.#warnings.setTimeout(team, null);
    this.#beats.idleTimeoutMs = this.#teams.smallestTimeoutMs;
  }

  /** @param {string} token */
  async #renew(token) {
    await new Promise((resolve, reject) => {
      this.#asks.add("renew", { token }, (error) => (error ? reject(error) : resolve(undefined)));
    });
    this.#setTeams(readToken(token)?.teams ?? this.#teams.names);
    this.#updateLive(false);
    this.#seats.post(this.#state());
  }

  // --- what the tabs are told ----------------------------------------------------------------------------------------

  #state() {
    const { state, code, retryAt } = this.#connection;
    return {
      t: "state",
      state,
      code,
      retryAt: retryAt === null ? null : retryAt + this.#ahead,
      user: this.#user,
      connection: this.#welcomed ? this.#connectionId : null,
      teams: this.#teams.names,
      live: this.#teams.liveNames,
      settled: this.#freshness.settled,
      now: this.serverNow(),
      wall: Date.now(),
    };
  }

  /** @param {boolean} atOnce see `Freshness` */
  #updateLive(atOnce) {
    this.#freshness.update(this.#connection.state === "open" && this.#networkUp, atOnce);
  }

  /** @param {any} error */
  #tellError({ code = "unavailable", message }) {
    this.#seats.post({ t: "error", code, message });
  }
}
