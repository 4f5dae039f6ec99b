/**
 * What a hub says of itself, as its tabs show it: its state, whether statuses are fresh, and the server's time.
 */

/** How long what is shown stays fresh while one hub hands over to the next. */
const PATIENCE_MS = 4_000;

/** @typedef {import("./types.js").State} State */

export class Mirror {
  /** @type {State} */
  state = "closed";
  /** The connection's id, which the next one replaces. @type {string | null} */
  connection = null;
  #view;
  #emit;
  #clock;
  #sameClock;
  /** The server's clock less this one's; null while that is not known. @type {number | null} */
  #ahead = null;
  /** @type {any} */
  #timer;

  /**
   * @param {import("./view.js").View} view
   * @param {(type: any, detail: any) => void} emit
   * @param {import("./types.js").Clock} clock
   * @param {boolean} sameClock whether the hub goes by the very same, and not only by the same machine's
   */
  constructor(view, emit, clock, sameClock) {
    this.#view = view;
    this.#emit = emit;
    this.#clock = clock;
    this.#sameClock = sameClock;
  }

  serverNow() {
    return this.#ahead === null ? Date.now() : Math.round(this.#clock.now() + this.#ahead);
  }

  /** Another hub is asked: what is shown stays as it is for a while, until that one knows. */
  begin() {
    this.#timer ??= this.#clock.setTimeout(() => this.#setLive([]), PATIENCE_MS);
  }

  /** There is no hub any more. @param {State} state */
  end(state) {
    this.#settle();
    this.setState(state);
    this.#setLive([]);
  }

  /** @param {any} message `state` */
  apply({ state, code, retryAt, user, connection, teams, live, settled, now, wall }) {
    if (settled) this.#settle();
    if (connection !== null) {
      this.connection = connection;
      // Said by a clock of this machine: what lay in a queue since then has aged by the difference.
      const agedMs = this.#sameClock ? 0 : Date.now() - wall;
      this.#ahead = now + agedMs - this.#clock.now();
      if (this.#view.setTeams(user, teams)) this.#emit("teams", { teams });
    }
    this.setState(state, code, retryAt);
    // One that has just taken over knows less than this page.
    this.#setLive(settled ? live : [...live, ...this.#view.names.filter((team) => this.#view.live(team))]);
  }

  /** @param {State} state @param {number | null} [code] @param {number | null} [retryAt] */
  setState(state, code = null, retryAt = null) {
    if (state === this.state && state !== "waiting") return;
    this.state = state;
    this.#emit("connection", { state, code, retryAt });
  }

  #settle() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @param {string[]} live the teams whose statuses are fresh */
  #setLive(live) {
    const changed = this.#view.names.filter((team) => this.#view.setLive(team, live.includes(team)));
    if (changed.length > 0 && changed.length === this.#view.names.length)
      this.#emit("feed", { live: live.length > 0, team: null });
    else for (const team of changed) this.#emit("feed", { live: live.includes(team), team });
  }
}
