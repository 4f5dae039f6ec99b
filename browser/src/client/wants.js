/**
 * Whom a page wants to hear of, told to the hub in as few messages as can be.
 */

/** Whom to watch ahead, at most. */
const AHEAD = 1_000;

/** @typedef {[team: string, user: string | null]} Want null: the team as a whole */

export class Wants {
  /** What has changed since it was last told, by team and user. @type {Map<string, [...Want, wanted: boolean]>} */
  #changed = new Map();
  /** Whom the page will soon show. @type {Want[]} */
  #ahead = [];
  #post;

  /** @param {(message: object) => void} post */
  constructor(post) {
    this.#post = post;
  }

  /**
   * @param {string} team
   * @param {string | null} user
   * @param {boolean} wanted
   */
  set(team, user, wanted) {
    if (this.#changed.size === 0) queueMicrotask(() => this.#tell());
    this.#changed.set(`${team} ${user ?? ""}`, [team, user, wanted]);
  }

  /** @param {string} team @param {Iterable<string>} users */
  prefetch(team, users) {
    for (const user of users) this.#ahead.push([team, user]);
    this.#ahead = this.#ahead.slice(-AHEAD);
    this.#post({ t: "want", add: [], drop: [], ahead: this.#ahead });
  }

  /** Tell a hub that knows nothing. @param {Want[]} wanted */
  tellAll(wanted) {
    this.#post({ t: "want", add: wanted, drop: [], ahead: this.#ahead });
  }

  #tell() {
    const changes = [...this.#changed.values()];
    this.#changed.clear();
    /** @param {boolean} which */
    const pick = (which) => changes.filter(([, , wanted]) => wanted === which).map(([team, user]) => [team, user]);
    this.#post({ t: "want", add: pick(true), drop: pick(false), ahead: [] });
  }
}
