/**
 * All teams of one connection: their rosters, the user's own choices, whom the tabs want to hear of, and which are fresh.
 */

import { Roster } from "./roster.js";
import { LARGE, noteRecent, planWatch } from "./watching.js";

/** A list is told at once, the next one not before. */
const WATCH_MS = 600;
/** What fits into any server's hello. */
const HELLO_BYTES = 16_000;

/**
 * @typedef {object} Team
 * @property {Roster} roster
 * @property {import("./view.js").Own | null} own
 * @property {boolean} large
 * @property {string[] | null} told the watch list that the server has; null for everybody
 * @property {Set<string>} recent
 * @property {boolean} heard on this connection
 * @property {boolean} fresh by the server's word
 * @property {number} nextWatchAt
 */

export class Teams {
  /** By the server's word, of all teams. */
  feedLive = true;
  /** The teams whose statuses are fresh. @type {string[]} */
  liveNames = [];
  /** @type {Map<string, Team>} */
  #teams = new Map();
  /** Teams that were large before anything was heard of them. @type {Set<string>} */
  #knownLarge = new Set();
  #seats;
  #asks;
  #clock;
  /** @type {any} */
  #timer;

  /**
   * @param {import("./seats.js").Seats} seats
   * @param {import("./asks.js").Asks} asks
   * @param {import("./types.js").Clock} clock
   */
  constructor(seats, asks, clock) {
    this.#seats = seats;
    this.#asks = asks;
    this.#clock = clock;
  }

  get names() {
    return [...this.#teams.keys()];
  }

  /** Whether every team has been heard on this connection. */
  get synced() {
    return [...this.#teams.values()].every(({ heard }) => heard);
  }

  get smallestTimeoutMs() {
    return Math.min(...[...this.#teams.values()].map(({ own }) => own?.idleTimeoutMs ?? Number.POSITIVE_INFINITY));
  }

  /** @param {readonly string[]} names of all teams from now on @returns {string[]} those that are gone */
  setNames(names) {
    const gone = this.names.filter((team) => !names.includes(team));
    for (const team of gone) this.#teams.delete(team);
    for (const team of names) {
      if (this.#teams.has(team)) continue;
      const [roster, own, told, recent] = [new Roster(), null, null, new Set()];
      const large = this.#knownLarge.has(team);
      this.#teams.set(team, { roster, own, large, told, recent, heard: false, fresh: true, nextWatchAt: 0 });
    }
    return gone;
  }

  // --- tabs ----------------------------------------------------------------------------------------------------------

  /** @param {readonly string[]} large teams that a tab remembers to be so */
  joined(large) {
    for (const team of large) this.#knownLarge.add(team);
  }

  /**
   * @param {import("./seats.js").Seat} seat
   * @param {{add: [string, string | null][], drop: [string, string | null][], ahead: [string, string][]}} message
   */
  want(seat, { add, drop, ahead }) {
    for (const [team, user] of drop) seat.wants.get(team)?.delete(user);
    for (const [team, user] of [...drop, ...ahead]) {
      const about = this.#teams.get(this.#meant(seat, team));
      if (user !== null && about) noteRecent(about.recent, user);
    }
    for (const [team, user] of add) {
      const wants = seat.wants.get(team) ?? new Set();
      seat.wants.set(team, wants.add(user));
    }
    this.flush();
  }

  /** @param {import("./hub.js").Port} port that is to know everything */
  tellAll(port) {
    for (const [team, { own, roster }] of this.#teams) {
      if (own) port.post({ t: "self", team, own });
      if (roster.epoch !== null)
        port.post({ t: "users", team, entries: [...roster.users], full: { covered: roster.covered } });
    }
  }

  // --- the connection ------------------------------------------------------------------------------------------------

  /**
   * A new connection begins. Watch lists that do not fit are told after `welcome`; a resume that does not fit is left out,
   * and a snapshot arrives in its place.
   * @param {object} hello
   * @returns {string} the frame
   */
  hello(hello) {
    /** @type {Record<string, object>} */
    const resume = {};
    /** @type {Record<string, string[]>} */
    const watch = {};
    let left = HELLO_BYTES - JSON.stringify(hello).length;
    for (const [team, about] of this.#teams) {
      const { roster } = about;
      const plan = planWatch(about.large, this.#wanted(team), about.recent, null);
      about.told = null;
      roster.begin();
      const value = Array.isArray(plan) ? plan : roster.covered === null && roster.epoch !== null && roster.position;
      const size = JSON.stringify(value).length + team.length + 4;
      if (!value || size > left) {
        roster.coveredNext = null;
        continue;
      }
      left -= size;
      if (Array.isArray(value)) {
        watch[team] = about.told = value;
        roster.coveredNext = value;
      } else resume[team] = value;
    }
    return JSON.stringify({ ...hello, resume, watch });
  }

  /** The server has said which teams there are. */
  welcomed() {
    this.feedLive = true;
    for (const team of this.#teams.values()) Object.assign(team, { heard: false, fresh: true });
  }

  /** The connection is lost. */
  lost() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const team of this.#teams.values()) team.heard = false;
  }

  /**
   * @param {any} message a `snapshot` or a `delta`
   * @returns {object | null} what to tell the tabs
   */
  apply(message) {
    const about = this.#teams.get(message.team);
    const news = about?.roster.apply(message);
    if (!about || !news) return null;
    about.heard = true;
    const full = news.full ? { covered: about.roster.covered } : null;
    if (!about.large && about.roster.users.size > LARGE) {
      about.large = true;
      this.#seats.post({ t: "large", team: message.team });
    }
    return full || news.entries.length > 0 ? { t: "users", team: message.team, entries: news.entries, full } : null;
  }

  /** @param {string} team @param {import("./view.js").Own} own */
  setOwn(team, own) {
    const about = this.#teams.get(team);
    if (!about) return;
    about.own = own;
    this.#seats.post({ t: "self", team, own });
  }

  /** @param {string} team @param {string | null} user */
  isOffline(team, user) {
    const told = this.#teams.get(team)?.roster.users.get(user ?? "");
    return !told || told.status === "offline";
  }

  // --- freshness -----------------------------------------------------------------------------------------------------

  /** @param {string | null} team null for all @param {boolean} live */
  setFeed(team, live) {
    if (team === null) this.feedLive = live;
    const about = this.#teams.get(team ?? "");
    // Nothing else may come of a team whose data cannot be read.
    if (about) Object.assign(about, { fresh: live, heard: about.heard || !live });
  }

  /**
   * @param {boolean} up whether there is a connection
   * @param {boolean} patient whether what was fresh may be so a little longer, unheard
   * @returns {boolean} whether other teams are fresh than before
   */
  newsOfLive(up, patient) {
    const before = this.liveNames;
    this.liveNames = this.names.filter((team) => {
      const { heard = false, fresh = false } = this.#teams.get(team) ?? {};
      return up && this.feedLive && fresh && (heard || (patient && before.includes(team)));
    });
    return this.liveNames.join() !== before.join();
  }

  // --- watch lists ---------------------------------------------------------------------------------------------------

  /** Tell the server whom to tell of, where that has changed; not too often. */
  flush() {
    if (this.#timer !== undefined) return;
    const now = this.#clock.now();
    let again = Number.POSITIVE_INFINITY;
    for (const [team, about] of this.#teams) {
      if (!about.large && !about.told) continue;
      if (about.nextWatchAt > now) again = Math.min(again, about.nextWatchAt - now);
      else if (this.#watch(team, about)) about.nextWatchAt = now + WATCH_MS;
    }
    if (again === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, again);
  }

  /** @param {string} team @param {Team} about @returns {boolean} whether there was anything to tell */
  #watch(team, about) {
    const users = planWatch(about.large, this.#wanted(team), about.recent, about.told);
    if (users === null || !about.heard) return false;
    const before = about.told;
    about.told = users === "all" ? null : users;
    const { told } = about;
    this.#asks.add("watch", { team, users }, (error) => {
      if (!error) about.roster.coveredNext = told;
      else if (about.told === told) about.told = before;
    });
    return true;
  }

  /** @param {string} team */
  #wanted(team) {
    /** @type {Set<string | null>} */
    const wanted = new Set();
    for (const seat of this.#seats.all())
      for (const [key, users] of seat.wants)
        if (this.#meant(seat, key) === team) for (const user of users) wanted.add(user);
    return wanted;
  }

  /** @param {import("./seats.js").Seat} seat @param {string} team */
  #meant(seat, team) {
    return team || seat.fallback || (this.names[0] ?? "");
  }
}
