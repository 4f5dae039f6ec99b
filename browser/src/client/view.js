/**
 * What one page knows: each team's statuses, whom the page wants to hear of, and who is told when something changes.
 *
 * Teams and users are keys of a `Map`, never of an object, because a user may be named `__proto__`. The empty string, which
 * is no id, stands for "the team that is meant where none is named".
 */

import { getOrMake, Listeners } from "./listeners.js";

/**
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {import("./types.js").Self} Self
 * @typedef {{chosen: "online" | "busy", idleTimeoutMs: number, contacts: readonly string[]}} Own
 * @typedef {import("./listeners.js").Changes} Changes
 */

/**
 * @typedef {object} Team
 * @property {Map<string, Presence>} users who has been told of; absent ones are offline, if they are covered
 * @property {Set<string> | null} covered of whom the server tells; null for everybody
 * @property {boolean} known whether anything has been told yet
 * @property {boolean} live
 * @property {Own | null} own
 * @property {Self | null} self
 */

const OFFLINE = Object.freeze({ status: "offline", since: null, reason: null, stale: false });
const OFFLINE_STALE = Object.freeze({ ...OFFLINE, stale: true });

export class View {
  /** @type {string | null} */
  user = null;
  /** @type {readonly string[]} */
  names = [];
  /** @type {Map<string, Team>} */
  #teams = new Map();
  /** Who listens to whom. */
  listeners;
  #fallback;
  #onSelf;

  /**
   * @param {string} fallback the team that is meant where none is named; empty: the first of the user's
   * @param {Listeners} listeners
   * @param {(self: Self) => void} onSelf
   */
  constructor(fallback, listeners, onSelf) {
    this.#fallback = fallback;
    this.listeners = listeners;
    this.#onSelf = onSelf;
  }

  /** The team that is meant where none is named, or the empty string while that is not known. */
  get team() {
    return this.#fallback || (this.names[0] ?? "");
  }

  /**
   * @param {string} team
   * @param {string} user
   * @returns {Presence | null}
   */
  get(team, user) {
    const about = this.#teams.get(team || this.team);
    if (!about?.known) return null;
    const found = about.users.get(user);
    if (found) return found;
    if (about.covered && user !== this.user && !about.covered.has(user)) return null;
    return about.live ? OFFLINE : OFFLINE_STALE;
  }

  /** @param {string} team @returns {Map<string, Presence>} a copy */
  users(team) {
    return new Map(this.#teams.get(team || this.team)?.users);
  }

  /** @param {string} team @returns {Self | null} */
  self(team) {
    const name = team || this.team;
    const about = this.#teams.get(name);
    const presence = this.user === null ? null : this.get(name, this.user);
    if (!about?.own || presence === null || this.user === null) return null;
    about.self ??= Object.freeze({ user: this.user, team: name, ...about.own, ...presence });
    return about.self;
  }

  /** @param {string} team @returns {boolean} whether that team's statuses are fresh */
  live(team) {
    return this.#teams.get(team || this.team)?.live ?? false;
  }

  /**
   * Whose connection it is, and which teams there are; what is known of others is forgotten.
   * @param {string | null} user
   * @param {readonly string[]} names
   * @returns {boolean} whether the teams are others now
   */
  setTeams(user, names) {
    if (user === this.user && names.join() === this.names.join()) return false;
    const stay = user === this.user ? names : [];
    const gone = [...this.#teams.keys()].filter((team) => !stay.includes(team));
    const meant = this.listeners.users("").map((user) => /** @type {const} */ ([user, this.get("", user)]));
    const left = gone.map((team) => /** @type {const} */ ([team, this.#known(team)]));
    this.user = user;
    this.names = names;
    for (const team of gone) this.#teams.delete(team);
    for (const [team, users] of left) this.listeners.tell(team, new Map(users.map((user) => [user, null])));
    const others = meant.filter(([user, before]) => this.get("", user) !== before);
    this.listeners.tell("", new Map(others.map(([user]) => [user, this.get("", user)])));
    return true;
  }

  /**
   * @param {string} team
   * @param {Own} own
   */
  setOwn(team, own) {
    const about = this.#about(team);
    about.own = own;
    this.#selfChanged(team, about);
  }

  /**
   * Take over what has been told of a team.
   * @param {string} team
   * @param {readonly (readonly [string, Presence])[]} entries
   * @param {{covered: readonly string[] | null} | null} full with it, these are all; without, these have changed
   */
  apply(team, entries, full) {
    const about = this.#about(team);
    /** @type {Changes} */
    const changes = new Map();
    const before = about.users;
    const asked = new Set(full ? this.#known(team) : []);
    const was = new Map([...asked].map((user) => [user, this.get(team, user)]));
    if (full) {
      about.users = new Map();
      about.covered = full.covered && new Set(full.covered);
      about.known = true;
    }
    for (const [user, told] of entries) {
      const old = before.get(user);
      const presence = old && same(old, told) && old.stale === !about.live ? old : freeze(told, !about.live);
      about.users.set(user, presence);
      if (presence !== old && !full) changes.set(user, presence);
      if (full) asked.add(user);
    }
    if (full) {
      for (const user of asked) {
        const now = this.get(team, user);
        const then = was.get(user) ?? null;
        if (now !== then && !(now && then && same(now, then) && now.stale === then.stale)) changes.set(user, now);
      }
    }
    if (changes.size > 0) this.#changed(team, about, changes);
  }

  /**
   * Whether a team's statuses are fresh; all who listen are told when that changes.
   * @param {string} team
   * @param {boolean} live
   * @returns {boolean} whether that is news
   */
  setLive(team, live) {
    const about = this.#about(team);
    if (about.live === live) return false;
    about.live = live;
    for (const [user, presence] of about.users) about.users.set(user, freeze(presence, !live));
    /** @type {Changes} */
    const changes = new Map();
    for (const user of this.#known(team)) changes.set(user, this.get(team, user));
    if (about.known) this.#changed(team, about, changes);
    return true;
  }

  /** @param {string} team */
  #about(team) {
    return getOrMake(this.#teams, team, () => ({
      users: new Map(),
      covered: null,
      known: false,
      live: false,
      own: null,
      self: null,
    }));
  }

  /** @param {string} team @returns {string[]} the users of it that somebody listens to */
  #listened(team) {
    const named = this.listeners.users(team);
    return team === this.team ? [...named, ...this.listeners.users("")] : named;
  }

  /**
   * @param {string} team
   * @param {Team} about
   * @param {Changes} changes
   */
  #changed(team, about, changes) {
    this.listeners.tell(team, changes);
    if (team === this.team) this.listeners.tell("", changes);
    if (this.user !== null && changes.has(this.user)) this.#selfChanged(team, about);
  }

  /** @param {string} team @param {Team} about */
  #selfChanged(team, about) {
    about.self = null;
    const self = this.self(team);
    if (self) this.#onSelf(self);
  }

  /** @param {string} team @returns {string[]} whom something is known of, or who is listened to */
  #known(team) {
    return [...new Set([...(this.#teams.get(team)?.users.keys() ?? []), ...this.#listened(team)])];
  }
}

/** @param {Presence} presence @param {boolean} stale @returns {Presence} */
function freeze({ status, since, reason }, stale) {
  return Object.freeze({ status, since, reason, stale });
}

/** @param {Presence} one @param {Presence} other */
function same(one, other) {
  return one.status === other.status && one.since === other.since && one.reason === other.reason;
}
