/**
 * Whether statuses are fresh, or may be out of date.
 */

export class Freshness {
  #live = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #patienceMs;
  #onChange;

  /**
   * @param {number} patienceMs how long a lost connection goes unmentioned: most are back sooner
   * @param {(live: boolean) => void} onChange
   */
  constructor(patienceMs, onChange) {
    this.#patienceMs = patienceMs;
    this.#onChange = onChange;
  }

  get live() {
    return this.#live;
  }

  /**
   * @param {boolean} live
   * @param {boolean} atOnce false: there is still hope
   */
  update(live, atOnce) {
    if (live || atOnce) this.#set(live);
    else if (this.#live) this.#timer ??= setTimeout(() => this.#set(false), this.#patienceMs);
  }

  /** @param {boolean} live */
  #set(live) {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (live === this.#live) return;
    this.#live = live;
    this.#onChange(live);
  }
}
