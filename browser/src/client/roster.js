/**
 * A team's statuses as one connection is told them: pure state, no socket, no timer, no clock.
 */

/**
 * @typedef {{status: "online" | "busy" | "offline", since: number, reason: string}} Told
 * @typedef {{type: string, epoch: string, version: number, users: Record<string, Told>, more?: boolean}} Message
 */

export class Roster {
  /** Null until the first snapshot is complete. @type {string | null} */
  epoch = null;
  version = 0;
  /** @type {Map<string, Told>} */
  users = new Map();
  /** Of whom the server tells, besides the user himself; null for everybody. @type {string[] | null} */
  covered = null;
  /** What it will be with the next snapshot. @type {string[] | null} */
  coveredNext = null;
  /** A snapshot that is still arriving. @type {Map<string, Told> | null} */
  #partial = null;

  get position() {
    return { epoch: this.epoch, version: this.version };
  }

  /** A new connection begins: forget what only the lost one could have completed. */
  begin() {
    this.#partial = null;
  }

  /**
   * Take over a `snapshot` or a `delta`. A snapshot in several messages becomes visible as a whole with its last one, so
   * that nobody flashes offline in between.
   * @param {Message} message
   * @returns {{full: boolean, entries: [string, Told][]} | null} what to tell; null when there is nothing (yet)
   */
  apply({ type, epoch, version, users, more }) {
    const entries = Object.entries(users);
    if (type === "delta") {
      if (epoch !== this.epoch || version < this.version) return null;
      for (const [user, told] of entries) this.users.set(user, told);
      this.version = version;
      return { full: false, entries };
    }
    this.#partial ??= new Map();
    for (const [user, told] of entries) this.#partial.set(user, told);
    if (more) return null;
    Object.assign(this, { epoch, version, users: this.#partial, covered: this.coveredNext });
    this.#partial = null;
    return { full: true, entries: [...this.users] };
  }
}
