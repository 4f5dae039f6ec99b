/**
 * Who in a page listens to whom. The team may be empty: the one that is meant where none is named.
 *
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {Map<string, Presence | null>} Changes by user
 */

export class Listeners {
  /** @type {Map<string, Map<string, Set<(presence: Presence | null) => void>>>} */
  #ofUsers = new Map();
  /** @type {Map<string, Set<(changes: Changes) => void>>} */
  #ofTeams = new Map();
  #onWant;

  /**
   * @param {(team: string, user: string | null, wanted: boolean) => void} onWant somebody began, or everybody ceased, to
   *   listen to a user, or for null to a whole team
   */
  constructor(onWant) {
    this.#onWant = onWant;
  }

  /**
   * @param {string} team
   * @param {string} user
   * @param {(presence: Presence | null) => void} fn
   * @returns {() => void}
   */
  subscribe(team, user, fn) {
    const users = getOrMake(this.#ofUsers, team, () => new Map());
    const fns = getOrMake(users, user, () => new Set());
    // Wrapped, so that the same function given twice counts twice.
    const listener = (/** @type {Presence | null} */ presence) => fn(presence);
    fns.add(listener);
    if (fns.size === 1) this.#onWant(team, user, true);
    return () => {
      if (!fns.delete(listener) || fns.size > 0) return;
      users.delete(user);
      this.#onWant(team, user, false);
    };
  }

  /**
   * @param {string} team
   * @param {(changes: Changes) => void} fn
   * @returns {() => void}
   */
  subscribeTeam(team, fn) {
    const fns = getOrMake(this.#ofTeams, team, () => new Set());
    const listener = (/** @type {Changes} */ changes) => fn(changes);
    fns.add(listener);
    if (fns.size === 1) this.#onWant(team, null, true);
    return () => {
      if (fns.delete(listener) && fns.size === 0) this.#onWant(team, null, false);
    };
  }

  /** @returns {[team: string, user: string | null][]} all that is listened to */
  wanted() {
    /** @type {[string, string | null][]} */
    const found = [];
    for (const [team, users] of this.#ofUsers) for (const user of users.keys()) found.push([team, user]);
    for (const [team, fns] of this.#ofTeams) if (fns.size > 0) found.push([team, null]);
    return found;
  }

  /** @param {string} team @returns {string[]} */
  users(team) {
    return [...(this.#ofUsers.get(team)?.keys() ?? [])];
  }

  /** @param {string} team @param {Changes} changes */
  tell(team, changes) {
    if (changes.size === 0) return;
    const users = this.#ofUsers.get(team);
    if (users)
      for (const [user, presence] of changes) for (const fn of [...(users.get(user) ?? [])]) safely(fn, presence);
    for (const fn of [...(this.#ofTeams.get(team) ?? [])]) safely(fn, changes);
  }
}

/**
 * Call a listener; what it throws is the page's to see, and nobody else's to suffer.
 * @template T
 * @param {(argument: T) => void} fn
 * @param {T} argument
 */
export function safely(fn, argument) {
  try {
    fn(argument);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * @template K, V
 * @param {Map<K, V>} map
 * @param {K} key
 * @param {() => V} make
 * @returns {V}
 */
export function getOrMake(map, key, make) {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
