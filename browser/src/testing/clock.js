/** Time that passes only when it is told to. */
export class FakeClock {
  #now;
  /** @type {{at: number, fn: () => void}[]} */
  #timers = [];

  /** @param {number} now */
  constructor(now) {
    this.#now = now;
    this.now = () => this.#now;
    this.setTimeout = (/** @type {() => void} */ fn, /** @type {number} */ ms) => {
      const timer = { at: this.#now + Math.max(0, ms), fn };
      this.#timers.push(timer);
      return timer;
    };
    this.clearTimeout = (/** @type {any} */ timer) => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** @param {number} ms */
  tick(ms) {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#now = next.at;
      this.clearTimeout(next);
      next.fn();
    }
    this.#now = end;
  }
}
