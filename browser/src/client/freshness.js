/**
 * Whether what the tabs show is fresh, which a short break does not change.
 */

/** How long a lost connection goes unmentioned: most are back sooner. */
const PATIENCE_MS = 2_000;

export class Freshness {
  /** Whether everything there is has been heard, once: then this hub knows better than the one before it. */
  settled = false;
  #teams;
  #clock;
  #onNews;
  /** @type {any} */
  #timer;

  /**
   * @param {import("./teams.js").Teams} teams
   * @param {import("./types.js").Clock} clock
   * @param {() => void} onNews other teams are fresh than before
   */
  constructor(teams, clock, onNews) {
    this.#teams = teams;
    this.#clock = clock;
    this.#onNews = onNews;
  }

  /**
   * @param {boolean} up whether there is a connection, and a network
   * @param {boolean} atOnce false: the connection, or what is missing, may be back before anybody needs to know
   */
  update(up, atOnce) {
    const whole = up && this.#teams.synced;
    const settles = !this.settled && whole;
    this.settled ||= settles;
    if ((up || atOnce) && (this.#teams.newsOfLive(up, !atOnce) || settles)) this.#onNews();
    if (atOnce || whole) this.end();
    else if (this.#teams.liveNames.length > 0)
      this.#timer ??= this.#clock.setTimeout(() => this.#giveUp(up), PATIENCE_MS);
  }

  end() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** @param {boolean} up */
  #giveUp(up) {
    this.settled ||= up;
    this.update(up, true);
  }
}
