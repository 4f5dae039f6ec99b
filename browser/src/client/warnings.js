/**
 * "You will appear offline in 60 s": said before idling shows, and not while the user is active on another device.
 */

/** How long before; for short timeouts, a third of them. */
const LEAD_MS = 60_000;
/** When to look again, where the server could not say. */
const AGAIN_MS = 10_000;
/** What clocks and the way may differ by. */
const SLACK_MS = 250;

/**
 * @typedef {object} Owner
 * @property {() => number} lastInput by the clock
 * @property {() => number} serverNow
 * @property {(team: string) => boolean} offline whether teammates see him offline there already
 * @property {(team: string, done: (answer: any) => void) => void} explain null for no answer
 * @property {(team: string, offlineAt: number | null) => void} tell
 */

export class Warnings {
  /** Teams that a warning stands for, and when he goes offline there. @type {Map<string, number>} */
  standing = new Map();
  /** @type {Map<string, number>} */
  #timeouts = new Map();
  /** @type {Map<string, any>} */
  #timers = new Map();
  #owner;
  #clock;

  /** @param {Owner} owner @param {import("./types.js").Clock} clock */
  constructor(owner, clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  /** @param {string} team @param {number | null} idleTimeoutMs null: the team was left */
  setTimeout(team, idleTimeoutMs) {
    if (idleTimeoutMs === null) this.#timeouts.delete(team);
    else if (this.#timeouts.get(team) === idleTimeoutMs) return;
    else this.#timeouts.set(team, idleTimeoutMs);
    this.#begin(team);
  }

  /** There was input, or a connection on which to ask; or, for a team, its status has changed. */
  begin(teams = [...this.#timeouts.keys()]) {
    for (const team of teams) this.#begin(team);
  }

  /** Nobody to ask any more. */
  end() {
    for (const timer of this.#timers.values()) this.#clock.clearTimeout(timer);
    this.#timers.clear();
    for (const team of [...this.standing.keys()]) this.#set(team, null);
  }

  /** @param {string} team */
  #begin(team) {
    this.#set(team, null);
    const timeoutMs = this.#timeouts.get(team);
    if (timeoutMs === undefined) this.#clock.clearTimeout(this.#timers.get(team));
    else this.#look(team, this.#owner.lastInput() + timeoutMs - lead(timeoutMs) - this.#clock.now());
  }

  /** @param {string} team @param {number} delayMs */
  #look(team, delayMs) {
    this.#clock.clearTimeout(this.#timers.get(team));
    const timer = this.#clock.setTimeout(() => this.#ask(team), Math.max(0, delayMs));
    this.#timers.set(team, timer);
  }

  /** @param {string} team */
  #ask(team) {
    if (this.#owner.offline(team)) return;
    const asked = this.#owner.lastInput();
    this.#owner.explain(team, (answer) => {
      const timeoutMs = this.#timeouts.get(team);
      if (timeoutMs === undefined || asked !== this.#owner.lastInput() || answer?.status === "offline") return;
      if (!answer) {
        this.#look(team, AGAIN_MS);
        return;
      }
      // The server learns of input only as often as it matters; this browser's own is known better here.
      const ownMs = this.#owner.lastInput() + timeoutMs - this.#clock.now();
      const leftMs = Math.max(ownMs, (answer.next_change_at ?? 0) - this.#owner.serverNow());
      if (leftMs > lead(timeoutMs) + SLACK_MS) {
        this.#set(team, null);
        this.#look(team, leftMs - lead(timeoutMs));
      } else if (leftMs > 0) this.#set(team, Math.round(this.#owner.serverNow() + leftMs));
    });
  }

  /** @param {string} team @param {number | null} offlineAt */
  #set(team, offlineAt) {
    if (offlineAt !== null) {
      // He may become active elsewhere while it stands.
      this.#look(team, Math.max(1_000, (offlineAt - this.#owner.serverNow()) / 2));
      if (Math.abs((this.standing.get(team) ?? 0) - offlineAt) < SLACK_MS) return;
      this.standing.set(team, offlineAt);
    } else if (!this.standing.delete(team)) return;
    this.#owner.tell(team, offlineAt);
  }
}

/** @param {number} timeoutMs */
function lead(timeoutMs) {
  return Math.min(LEAD_MS, timeoutMs / 3);
}
