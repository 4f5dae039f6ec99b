/**
 * All teams of one client: their rosters, the user's own choices, and whom he watches. Pure state.
 */

import { abandonPartial, applyDelta, applySnapshot, createRoster, OFFLINE } from "./presence-roster.js";

/**
 * @typedef {import("./presence-roster.js").Presence} Presence
 * @typedef {import("./presence-roster.js").Changes} Changes
 * @typedef {import("./presence-roster.js").Roster} Roster
 * @typedef {import("./presence-roster.js").RosterMessage} RosterMessage
 */

/**
 * @typedef {object} Self
 * @property {"online" | "busy"} chosen the status the user picked; teammates see it unless he is offline
 * @property {number} idleTimeoutMs
 */

export class Teams {
  /** The user of the connection; null until the first `welcome`. @type {string | null} */
  user = null;
  /** @type {Map<string, Roster>} */
  #rosters = new Map();
  /** @type {Map<string, Self>} */
  #selves = new Map();
  /** Whom the user wants to hear of; everyone, where there is no list. @type {Map<string, string[]>} */
  #watching = new Map();
  /** What the server has been told of that. @type {Map<string, string[]>} */
  #told = new Map();
  /** Teams whose roster lacks nobody. @type {Set<string>} */
  #whole = new Set();
  /** Teams from which nothing has come on this connection. @type {Set<string>} */
  #unsynced = new Set();

  /** @returns {string[]} */
  get names() {
    return [...this.#rosters.keys()];
  }

  /** Whether every team has been heard on this connection. */
  get synced() {
    return this.#unsynced.size === 0;
  }

  /**
   * @param {readonly string[]} names of all teams from now on
   * @returns {string[]} those that are gone
   */
  setNames(names) {
    const gone = this.names.filter((team) => !names.includes(team));
    for (const team of gone) {
      for (const about of [this.#rosters, this.#selves, this.#watching, this.#told, this.#whole, this.#unsynced])
        about.delete(team);
    }
    for (const team of names) this.#roster(team);
    return gone;
  }

  /**
   * A new connection begins.
   * @returns {{resume: Map<string, {epoch: string, version: number}>, watch: Map<string, string[]>}} for its hello
   */
  begin() {
    const resume = new Map();
    for (const [team, roster] of this.#rosters) {
      abandonPartial(roster);
      if (roster.epoch === null || !this.#whole.has(team) || this.#watching.has(team)) continue;
      resume.set(team, { epoch: roster.epoch, version: roster.version });
    }
    this.#told = new Map(this.#watching);
    this.#unsynced = new Set(this.#rosters.keys());
    return { resume, watch: this.#watching };
  }

  /** The watch list of a team did not fit into the hello. @param {string} team */
  notTold(team) {
    this.#told.delete(team);
  }

  /** @param {readonly string[]} teams of the `welcome` */
  welcomed(teams) {
    this.#unsynced = new Set(teams);
    return this.setNames(teams);
  }

  /** @returns {{team: string, users: string[] | "all"}[]} watch lists that the server does not know yet */
  untold() {
    const teams = new Set([...this.#watching.keys(), ...this.#told.keys()]);
    return [...teams]
      .filter((team) => this.#watching.get(team) !== this.#told.get(team))
      .map((team) => ({ team, users: this.#watching.get(team) ?? "all" }));
  }

  /**
   * @param {string} team
   * @param {string[] | "all"} users
   */
  watch(team, users) {
    if (users === "all") this.#watching.delete(team);
    else this.#watching.set(team, users);
    this.#whole.delete(team);
  }

  /** @param {string} team @returns {string[] | "all"} */
  watched(team) {
    return this.#watching.get(team) ?? "all";
  }

  /** The server narrows, or widens, as it was last asked to. @param {string} team */
  told(team) {
    const users = this.#watching.get(team);
    if (users === undefined) this.#told.delete(team);
    else this.#told.set(team, users);
  }

  /**
   * @param {{team: string, chosen: "online" | "busy", idle_timeout_ms: number}} message
   * @returns {Self}
   */
  applySelf({ team, chosen, idle_timeout_ms: idleTimeoutMs }) {
    this.#roster(team);
    const self = Object.freeze({ chosen, idleTimeoutMs });
    this.#selves.set(team, self);
    return self;
  }

  /**
   * @param {RosterMessage & {type: "snapshot" | "delta", team: string}} message
   * @returns {Changes | null} null while the message waits for others
   */
  applyRoster(message) {
    const { type, team } = message;
    const roster = this.#roster(team);
    if (type === "delta") return this.#heard(team, applyDelta(roster, message));
    const changes = applySnapshot(roster, message, (user) => this.#covers(team, user));
    if (changes !== null && !this.#watching.has(team) && !this.#told.has(team)) this.#whole.add(team);
    return this.#heard(team, changes);
  }

  /**
   * @param {string} team
   * @param {string} user
   * @returns {Presence | null} null when not known
   */
  status(team, user) {
    const roster = this.#rosters.get(team);
    if (roster === undefined || roster.epoch === null) return null;
    return roster.users.get(user) ?? (this.#covers(team, user) ? OFFLINE : null);
  }

  /** @param {string} team @returns {Map<string, Presence>} */
  users(team) {
    return new Map(this.#rosters.get(team)?.users);
  }

  /** @param {string} team @returns {Self | null} */
  self(team) {
    return this.#selves.get(team) ?? null;
  }

  /**
   * @param {string} team
   * @param {Changes | null} changes
   */
  #heard(team, changes) {
    if (changes !== null) this.#unsynced.delete(team);
    return changes;
  }

  /** @param {string} team @param {string} user */
  #covers(team, user) {
    const list = this.#watching.get(team);
    return list === undefined || user === this.user || list.includes(user);
  }

  /** @param {string} team */
  #roster(team) {
    let roster = this.#rosters.get(team);
    if (roster === undefined) {
      roster = createRoster();
      this.#rosters.set(team, roster);
    }
    return roster;
  }
}
