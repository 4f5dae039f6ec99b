/**
 * Notices a hub that has died without a word, as a worker does whose process was killed.
 */

const PING_MS = 10_000;
/** How long a hub may take to answer: one that is there does in milliseconds; a worker has to be loaded first. */
const ANSWER_MS = 3_000;
const FIRST_ANSWER_MS = 5_000;
/** A timer so late means that this page itself was asleep. */
const LATE_MS = 1_500;

export class Watchdog {
  /** Whether the hub has said anything yet. */
  heard = false;
  #clock;
  #ping;
  #onDead;
  #strikes = 0;
  #watching = false;
  /** @type {any} */
  #silence;
  /** @type {any} */
  #next;

  /**
   * @param {import("./types.js").Clock} clock
   * @param {() => void} ping says something to which there is an answer
   * @param {() => void} onDead
   */
  constructor(clock, ping, onDead) {
    this.#clock = clock;
    this.#ping = ping;
    this.#onDead = onDead;
  }

  /** A new hub, or the end. @param {boolean} watching whether it can die by itself */
  restart(watching) {
    this.hear();
    this.heard = false;
    this.#watching = watching;
    this.#clock.clearTimeout(this.#next);
    if (watching) this.#plan();
  }

  /** The hub lives. */
  hear() {
    this.heard = true;
    this.#strikes = 0;
    this.#clock.clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  /** Something was said to which there is an answer. */
  expect() {
    if (!this.#watching || this.#silence !== undefined) return;
    const ms = this.heard ? ANSWER_MS : FIRST_ANSWER_MS;
    const dueAt = this.#clock.now() + ms;
    this.#silence = this.#clock.setTimeout(() => {
      this.#silence = undefined;
      // What was answered while this page slept is still to come.
      if (this.#clock.now() - dueAt > LATE_MS && this.#strikes++ === 0) this.#say();
      else this.#onDead();
    }, ms);
  }

  #say() {
    this.#ping();
    this.expect();
  }

  #plan() {
    this.#next = this.#clock.setTimeout(() => {
      this.#say();
      this.#plan();
    }, PING_MS);
  }
}
