/**
 * What a page uses: the client, whose tabs share one connection.
 *
 * It keeps a view of what it is told and says what its page wants; the connection itself lives in a hub (hub.js), which is
 * in a shared worker, in another tab or here (link.js).
 */

import { getOrMake, Listeners, safely } from "./listeners.js";
import { Tab } from "./tab.js";
import { View } from "./view.js";

/**
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {import("./types.js").Self} Self
 * @typedef {import("./types.js").Events} Events
 * @typedef {{team?: string}} Scope
 */

export class PresenceClient {
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #listeners = new Map();
  #view;
  #tab;

  /**
   * Connects by itself, in a browser; where a server renders, it does nothing.
   * @param {import("./types.js").Options} options
   */
  constructor(options) {
    if (typeof options?.getToken !== "function")
      throw new TypeError(`Expected getToken to be a function that brings a token, got ${typeof options?.getToken}`);
    const emit = this.#emit.bind(this);
    this.#view = new View(
      options.team ?? "",
      new Listeners((team, user, wanted) => this.#tab.wants.set(team, user, wanted)),
      (self) => emit("self", self),
    );
    this.#tab = new Tab(options, this.#view, emit);
    if ("document" in globalThis || options.WebSocket || "link" in options) this.connect();
  }

  /** The user this client is of; null until the server, or another tab, has told. */
  get user() {
    return this.#view.user;
  }

  /** His teams, as the token names them; empty until they are known. */
  get teams() {
    return this.#view.names;
  }

  /** The team that is meant where none is named; the empty string while that is not known. */
  get team() {
    return this.#view.team;
  }

  get state() {
    return this.#tab.state;
  }

  /** Whether the statuses of every team are fresh. */
  get live() {
    return this.teams.length > 0 && this.teams.every((team) => this.#view.live(team));
  }

  /**
   * Whether the statuses of one team are fresh.
   * @param {Scope} [scope]
   */
  isLive({ team = "" } = {}) {
    return this.#view.live(team);
  }

  /**
   * What teammates see of a user.
   * @param {string} user
   * @param {Scope} [scope]
   * @returns {Presence | null} null when not known: nothing has arrived yet, or nobody has subscribed to him in a large team
   */
  get(user, { team = "" } = {}) {
    return this.#view.get(team, user);
  }

  /**
   * The user himself: his choice, and what teammates see.
   * @param {Scope} [scope]
   * @returns {Self | null} null until it has arrived
   */
  self({ team = "" } = {}) {
    return this.#view.self(team);
  }

  /**
   * All that is known of a team, a copy. In a large team, only who is subscribed to; see `subscribeTeam`.
   * @param {Scope} [scope]
   * @returns {Map<string, Presence>} by user; who is absent is offline, or not known
   */
  users({ team = "" } = {}) {
    return this.#view.users(team);
  }

  /**
   * Be told whenever what teammates see of a user changes. What it is now, `get` says.
   * @param {string | {user: string, team?: string}} whom
   * @param {(presence: Presence | null) => void} fn
   * @returns {() => void} ends it
   */
  subscribe(whom, fn) {
    const { user, team = "" } = typeof whom === "string" ? { user: whom } : whom;
    return this.#view.listeners.subscribe(team, user, fn);
  }

  /**
   * Be told of everybody's changes in a team. It is then followed as a whole, however large.
   * @param {string | undefined} team
   * @param {(changes: Map<string, Presence | null>) => void} fn with who changed
   * @returns {() => void} ends it
   */
  subscribeTeam(team, fn) {
    return this.#view.listeners.subscribeTeam(team ?? "", fn);
  }

  /**
   * Say whom the page will soon show, such as the next rows of a list: in a large team they are watched ahead.
   * @param {Iterable<string>} users
   * @param {Scope} [scope]
   */
  prefetch(users, { team = "" } = {}) {
    this.#tab.wants.prefetch(team, users);
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {(detail: Events[K]) => void} fn
   * @returns {() => void} ends it
   */
  on(type, fn) {
    const fns = getOrMake(this.#listeners, type, () => new Set());
    const listener = (/** @type {Events[K]} */ detail) => fn(detail);
    fns.add(listener);
    return () => void fns.delete(listener);
  }

  /**
   * Choose a status. It holds for every tab and device, and is remembered.
   * @param {"online" | "busy"} status
   * @param {Scope} [scope] every team when left out
   * @returns {Promise<void>} fulfilled when it is stored
   * @throws {import("./errors.js").PresenceError} as a rejection: `status_not_selectable`, `not_a_member`, `unavailable`, …
   */
  async setStatus(status, { team } = {}) {
    await this.#tab.ask("set_status", team === undefined ? { status } : { status, team });
  }

  /** There was human input that a page cannot see by itself: in a frame of another origin, in a game, by voice. */
  activity() {
    this.#tab.input(true);
  }

  /** Now, by the server's clock: milliseconds since the Unix epoch. `since` and `offlineAt` are to be compared with it. */
  serverNow() {
    return this.#tab.serverNow();
  }

  /**
   * Ask why the user is shown as he is, over all his devices, and what happens next.
   * @param {Scope} [scope]
   * @returns {Promise<import("./types.js").Explanation>}
   * @throws {import("./errors.js").PresenceError} as a rejection: `not_a_member`, `unavailable`, …
   */
  explain({ team = this.team } = {}) {
    return this.#tab.ask("explain", { team });
  }

  /**
   * End the session: every tab of this sign-in, at once and for good. It never fails and takes 3 s at most.
   * @returns {Promise<{told: boolean}>} whether the server has heard it; if not, the next page of this browser tells it
   */
  logout() {
    return this.#tab.logout();
  }

  /** Connect again, after `close`, or after it has stopped and somebody has signed in. */
  connect() {
    this.#tab.connect();
  }

  /** Let go of the connection without signing out: teammates see nothing for the disconnect grace. */
  close() {
    this.#tab.close();
  }

  /**
   * @template {keyof Events} K
   * @param {K} type
   * @param {Events[K]} detail
   */
  #emit(type, detail) {
    for (const fn of [...(this.#listeners.get(type) ?? [])]) safely(fn, detail);
  }
}
