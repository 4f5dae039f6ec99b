/**
 * When to beat, when to come back, when to give up: pure decisions, with the clock and the dice as arguments.
 */

/** How much later than planned a timer must fire to mean that the page was frozen or the machine asleep. A hidden
 * tab's timers run once a minute, so anything up to that is ordinary throttling. */
const OVERSLEPT_MS = 90_000;
const CLOCK_JUMP_MS = 1_000;
const HELLO_LIMIT_BYTES = 32 * 1024;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A clock that never goes backwards and counts the time a machine was asleep.
 *
 * The steady clock may stand still in sleep, the wall clock may be set. So the steady one is believed, unless the
 * wall clock has moved at least a second further.
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

/**
 * When this tab owes the server a heartbeat (contract, section 5).
 *
 * While there is input, at least every min(`heartbeatMs`, a third of the smallest idle timeout); without, every
 * `heartbeatMs`; and at once on the first input after a pause of that length.
 */
export class HeartbeatSchedule {
  /** @type {Map<string, number>} */
  #idleTimeouts = new Map();
  #urgent = false;
  #lastInput;
  #lastBeat;

  /**
   * @param {number} now
   * @param {number} [idleMs] how long ago the last input was
   */
  constructor(now, idleMs = 0) {
    this.heartbeatMs = 25_000;
    this.#lastInput = now - idleMs;
    this.#lastBeat = now;
  }

  /** The longest pause between heartbeats while there is input. */
  get activeIntervalMs() {
    return Math.min(this.heartbeatMs, Math.min(...this.#idleTimeouts.values()) / 3);
  }

  /**
   * @param {string} team
   * @param {number | null} idleTimeoutMs null: the team was left
   */
  setIdleTimeout(team, idleTimeoutMs) {
    if (idleTimeoutMs === null) this.#idleTimeouts.delete(team);
    else this.#idleTimeouts.set(team, idleTimeoutMs);
  }

  /** There was human input. @param {number} now */
  input(now) {
    if (now - this.#lastInput >= this.activeIntervalMs) this.#urgent = true;
    this.#lastInput = Math.max(now, this.#lastInput);
  }

  /**
   * A heartbeat, or a hello, goes out.
   * @param {number} now
   * @returns {number} its `idle_ms`, a whole number
   */
  beat(now) {
    this.#urgent = false;
    this.#lastBeat = now;
    return this.idleMs(now);
  }

  /** @param {number} now */
  idleMs(now) {
    return Math.max(0, Math.round(now - this.#lastInput));
  }

  /** The instant from which a heartbeat is due; in the past when it is overdue. */
  get dueAt() {
    if (this.#urgent) return this.#lastBeat;
    return this.#lastBeat + (this.#lastInput > this.#lastBeat ? this.activeIntervalMs : this.heartbeatMs);
  }

  /** Whether the page has stood still for so long that its socket may be dead without knowing. @param {number} now */
  overslept(now) {
    return now - this.#lastBeat - this.heartbeatMs > Math.max(OVERSLEPT_MS, 2 * this.heartbeatMs);
  }
}

/**
 * How long to wait before the next attempt: full jitter, so that thousands of clients that lost their server in the
 * same instant do not come back in the same instant.
 *
 * @param {number} attempt failed attempts so far, from 0
 * @param {number} dice in [0, 1)
 * @param {{baseMs?: number, capMs?: number}} [limits]
 * @returns {number} milliseconds
 */
export function backoffMs(attempt, dice, { baseMs = 1_000, capMs = 30_000 } = {}) {
  return Math.floor(dice * Math.min(capMs, baseMs * 2 ** attempt));
}

/**
 * @typedef {"signed_out" | "token_refused" | "not_allowed" | "replaced" | "protocol_error" | "refused"} StopReason
 */

/**
 * @typedef {object} CloseDecision
 * @property {boolean} retry
 * @property {boolean} newToken ask for a new token before the retry
 * @property {boolean} quick do not back off: the server is fine and expects this client
 * @property {StopReason | null} stopReason null with `retry`
 */

/** @type {Map<number, StopReason>} */
const STOP_REASONS = new Map([
  [4501, "token_refused"],
  [4503, "not_allowed"],
  [4504, "replaced"],
  [4505, "protocol_error"],
  [4506, "signed_out"],
]);

/**
 * What to do after a close (contract, "Close codes"): retry after every close but 4500 to 4999.
 *
 * @param {number} code
 * @param {boolean} tokenIsFresh whether the refused token had been asked for because of an earlier refusal
 * @returns {CloseDecision}
 */
export function afterClose(code, tokenIsFresh) {
  if (code === 4501 && !tokenIsFresh) return { retry: true, newToken: true, quick: true, stopReason: null };
  if (code >= 4500 && code <= 4999) {
    return { retry: false, newToken: false, quick: false, stopReason: STOP_REASONS.get(code) ?? "refused" };
  }
  const expired = code === 4004;
  const quick = code === 4001 || (expired && !tokenIsFresh);
  return { retry: true, newToken: expired, quick, stopReason: null };
}

/**
 * When to renew a token: after 75 to 85 % of what is left of its life, so that there is time to try again.
 *
 * @param {number} remainingMs
 * @param {number} dice in [0, 1)
 * @returns {number} milliseconds, never more than a timer can wait
 */
export function renewDelayMs(remainingMs, dice) {
  return Math.min(LONGEST_TIMER_MS, Math.max(0, Math.floor(remainingMs * (0.75 + 0.1 * dice))));
}

/**
 * Read what a token says of itself, without judging it: that is the server's business.
 *
 * @param {string} token
 * @returns {{expiresAtMs: number | null, teams: string[] | null}} nulls where the token does not say
 */
export function readToken(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(atob(payload));
    return {
      expiresAtMs: Number.isFinite(claims.exp) ? claims.exp * 1_000 : null,
      teams: Array.isArray(claims.teams) ? claims.teams : null,
    };
  } catch {
    return { expiresAtMs: null, teams: null };
  }
}

/**
 * @typedef {object} Hello
 * @property {string} token
 * @property {number} idleMs
 * @property {string | null} replaces this tab's previous connection
 * @property {Map<string, {epoch: string, version: number}>} resume by team
 * @property {Map<string, string[]>} watch by team
 */

/**
 * Write the hello, which must stay within 32 KiB.
 *
 * Watch lists that do not fit are told right after `welcome` instead; a resume that does not fit is left out, and a
 * snapshot arrives in its place.
 *
 * @param {Hello} hello
 * @returns {{frame: string, deferred: string[]}} the text frame, and the teams whose watch list is not in it
 */
export function buildHello({ token, idleMs, replaces, resume, watch }) {
  /** @type {Record<string, unknown>} */
  const message = { type: "hello", token, idle_ms: idleMs };
  if (replaces !== null) message.replaces = replaces;
  let left = HELLO_LIMIT_BYTES - byteLength(JSON.stringify(message)) - ',"resume":{},"watch":{}'.length;
  /** @type {string[]} */
  const deferred = [];
  /**
   * @template T
   * @param {Map<string, T>} entries
   * @param {(team: string) => void} tooLarge
   */
  const fit = (entries, tooLarge) => {
    const chosen = new Map();
    for (const [team, value] of entries) {
      const size = byteLength(JSON.stringify(team)) + byteLength(JSON.stringify(value)) + ":,".length;
      if (size > left) {
        tooLarge(team);
        continue;
      }
      left -= size;
      chosen.set(team, value);
    }
    return chosen;
  };
  const resumed = fit(resume, () => {});
  const watched = fit(watch, (team) => deferred.push(team));
  if (resumed.size > 0) message.resume = Object.fromEntries(resumed);
  if (watched.size > 0) message.watch = Object.fromEntries(watched);
  return { frame: JSON.stringify(message), deferred };
}

/** @param {string} text */
function byteLength(text) {
  return new TextEncoder().encode(text).length;
}
