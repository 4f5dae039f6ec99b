/**
 * Heartbeats while connected: input is watched, the schedule decides, the owner sends.
 */

import { recallIdle, rememberIdle, watchActivity } from "./presence-activity.js";
import { createClock, HeartbeatSchedule } from "./presence-policy.js";

export class Heartbeats {
  #now = createClock();
  #schedule = new HeartbeatSchedule(this.#now(), recallIdle());
  #beating = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #activity = null;
  #send;
  #onOverslept;

  /**
   * @param {(idleMs: number) => void} send a heartbeat is due
   * @param {() => void} onOverslept the page has stood still for so long that its socket may be dead
   */
  constructor(send, onOverslept) {
    this.#send = send;
    this.#onOverslept = onOverslept;
  }

  /** Watch for input from now on. */
  listen() {
    if (this.#activity !== null) return;
    this.#activity = new AbortController();
    watchActivity(() => this.#onInput(), this.#activity.signal);
    // A click that led here came before anybody listened.
    if (navigator.userActivation?.isActive) this.#schedule.input(this.#now());
  }

  /** Watch no more. */
  end() {
    this.pause();
    this.#activity?.abort();
    this.#activity = null;
  }

  /** @returns {number} the `idle_ms` of a hello, which counts as a heartbeat */
  hello() {
    return this.#schedule.beat(this.#now());
  }

  /** The connection is open. @param {number} heartbeatMs */
  start(heartbeatMs) {
    this.#schedule.heartbeatMs = heartbeatMs;
    this.#beating = true;
    this.#plan();
  }

  /** The connection is not open any more. */
  pause() {
    this.#beating = false;
    clearTimeout(this.#timer);
  }

  /**
   * @param {string} team
   * @param {number | null} idleTimeoutMs null: the team was left
   */
  setIdleTimeout(team, idleTimeoutMs) {
    this.#schedule.setIdleTimeout(team, idleTimeoutMs);
    this.#plan();
  }

  /** The page is left, maybe to be loaded again. */
  remember() {
    rememberIdle(this.#schedule.idleMs(this.#now()));
  }

  #onInput() {
    const now = this.#now();
    this.#schedule.input(now);
    if (this.#schedule.dueAt <= now) this.#beat();
    else this.#plan();
  }

  /** Input, or a setting, may have brought the next heartbeat nearer. */
  #plan() {
    clearTimeout(this.#timer);
    if (!this.#beating) return;
    this.#timer = setTimeout(() => this.#beat(), Math.max(0, this.#schedule.dueAt - this.#now()));
  }

  #beat() {
    if (!this.#beating) return;
    const now = this.#now();
    if (this.#schedule.overslept(now)) {
      this.#onOverslept();
      return;
    }
    this.#send(this.#schedule.beat(now));
    this.#plan();
  }
}
