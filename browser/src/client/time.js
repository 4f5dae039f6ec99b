/**
 * Clocks, and when to do what: pure, with the clock and the dice as arguments.
 */

const CLOCK_JUMP_MS = 1_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A clock that never goes backwards and counts the time a machine was asleep.
 *
 * The steady clock may stand still in sleep, the wall clock may be set. So the steady one is believed, unless the wall
 * clock has moved at least a second further.
 *
 * @param {() => number} [wall] milliseconds since the Unix epoch
 * @param {() => number} [steady] milliseconds since any instant, never going backwards
 * @returns {() => number} milliseconds since the clock was made
 */
export function createClock(wall = () => Date.now(), steady = () => performance.now()) {
  let lastWall = wall();
  let lastSteady = steady();
  let elapsed = 0;
  return () => {
    const nowWall = wall();
    const nowSteady = steady();
    const wallStep = nowWall - lastWall;
    const steadyStep = Math.max(0, nowSteady - lastSteady);
    elapsed += wallStep - steadyStep >= CLOCK_JUMP_MS ? wallStep : steadyStep;
    lastWall = nowWall;
    lastSteady = nowSteady;
    return elapsed;
  };
}

/** @returns {import("./types.js").Clock} the real time */
export function realClock() {
  return {
    now: createClock(),
    setTimeout: (fn, ms) => setTimeout(fn, Math.min(ms, LONGEST_TIMER_MS)),
    clearTimeout: (timer) => clearTimeout(timer),
  };
}

/**
 * How long to wait before the next attempt: full jitter, so that thousands of clients that lost their server in the same
 * instant do not come back in the same instant.
 *
 * @param {number} attempt failed attempts so far, from 0
 * @param {number} [dice] in [0, 1)
 * @returns {number} milliseconds
 */
export function backoffMs(attempt, dice = Math.random()) {
  return Math.floor(dice * Math.min(30_000, 1_000 * 2 ** attempt));
}

/**
 * When to renew a token: after 75 to 85 % of what is left of its life, so that there is time to try again.
 *
 * @param {number} remainingMs
 * @param {number} [dice] in [0, 1)
 * @returns {number} milliseconds
 */
export function renewDelayMs(remainingMs, dice = Math.random()) {
  return Math.max(1_000, Math.floor(remainingMs * (0.75 + 0.1 * dice)));
}

/**
 * When the browser owes the server a heartbeat (contract, section 5).
 *
 * While there is input, at least every min(`heartbeatMs`, a third of the smallest idle timeout); without, every
 * `heartbeatMs`; and at once on the first input after a pause of that length.
 */
export class HeartbeatSchedule {
  heartbeatMs = 25_000;
  /** The smallest of the teams. */
  idleTimeoutMs = Number.POSITIVE_INFINITY;
  #urgent = false;
  #lastBeat;

  /** @param {number} lastInput */
  constructor(lastInput) {
    this.lastInput = lastInput;
    this.#lastBeat = lastInput;
  }

  /** There was human input. @param {number} at */
  input(at) {
    if (at - this.lastInput >= this.#activeIntervalMs) this.#urgent = true;
    this.lastInput = Math.max(at, this.lastInput);
  }

  /**
   * A heartbeat, or a hello, goes out.
   * @param {number} now
   * @returns {number} its `idle_ms`, a whole number
   */
  beat(now) {
    this.#urgent = false;
    this.#lastBeat = now;
    return Math.max(0, Math.round(now - this.lastInput));
  }

  /** The instant from which a heartbeat is due; in the past when it is overdue. */
  get dueAt() {
    if (this.#urgent) return this.#lastBeat;
    return this.#lastBeat + (this.lastInput > this.#lastBeat ? this.#activeIntervalMs : this.heartbeatMs);
  }

  get #activeIntervalMs() {
    return Math.min(this.heartbeatMs, this.idleTimeoutMs / 3);
  }
}
