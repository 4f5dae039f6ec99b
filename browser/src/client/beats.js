/**
 * Heartbeats: they tell how long ago the last input was, and ask whether the link still lives.
 */

import { HeartbeatSchedule } from "./time.js";

/** When a page that comes back into view asks. */
const QUIET_MS = 5_000;
/** How much later than planned means that the page was frozen, or the machine asleep. */
const OVERSLEPT_MS = 60_000;

export class Beats extends HeartbeatSchedule {
  #connection;
  #clock;
  #nextId;
  #onOverslept;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** @type {any} */
  #timer;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {import("./types.js").Clock} clock
   * @param {() => number} nextId
   * @param {() => void} onOverslept what is shown may be old
   */
  constructor(connection, clock, nextId, onOverslept) {
    super(Number.NEGATIVE_INFINITY);
    this.#connection = connection;
    this.#clock = clock;
    this.#nextId = nextId;
    this.#onOverslept = onOverslept;
  }

  /** Input, a setting or a new connection may have brought the next one nearer. */
  plan() {
    this.pause();
    if (this.#connection.state !== "open") return;
    const dueAt = Math.min(this.dueAt, this.#quietSince + this.heartbeatMs);
    this.#timer = this.#clock.setTimeout(() => this.#beat(), Math.max(0, dueAt - this.#clock.now()));
  }

  /** No connection, no heartbeat. */
  pause() {
    this.#clock.clearTimeout(this.#timer);
  }

  /** Somebody looks at a page: has the link been quiet for a while, it is asked at once. */
  ask() {
    if (this.#clock.now() - this.#connection.heardAt > QUIET_MS) this.#beat(true);
  }

  get #quietSince() {
    return Math.max(this.#connection.heardAt, this.#askedAt);
  }

  /** @param {boolean} [ask] whether the link still lives */
  #beat(ask = false) {
    const now = this.#clock.now();
    const quietMs = now - this.#quietSince;
    if (quietMs > 2 * this.heartbeatMs + OVERSLEPT_MS) this.#onOverslept();
    // A beat that is due a moment before that would be followed by another.
    const asking = ask || quietMs >= 0.8 * this.heartbeatMs;
    const message = { type: "heartbeat", idle_ms: this.beat(now), ...(asking && { id: this.#nextId() }) };
    this.#connection.send(message);
    if (asking) {
      this.#askedAt = now;
      this.#connection.expectAnswer();
    }
    this.plan();
  }
}
