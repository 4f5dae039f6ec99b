/**
 * What a browser remembers for a page. Storage can be forbidden: then nothing is remembered, and nothing fails.
 */

const IDLE_KEY = "presence:last-input";
const LARGE_KEY = "presence:large";
const MOST = 100;
/** Longer than any timeout. */
const NEVER_MS = 30_000_000_000;

/**
 * Keep the age of the last input over a reload of this page: a page that reloads itself is no one's activity.
 * @param {number} idleMs
 */
export function rememberIdle(idleMs) {
  attempt(() => sessionStorage.setItem(IDLE_KEY, String(Date.now() - idleMs)), undefined);
}

/**
 * @returns {number} milliseconds since the last input in this page, before a reload too; 0 when a person has just come
 *   here, or used it. A page that was opened unseen, as all are when a browser restores its windows, has had none
 */
export function recallIdle() {
  return attempt(() => {
    if (navigator.userActivation?.hasBeenActive) return 0;
    const [navigation] = performance.getEntriesByType("navigation");
    const unseen = document.visibilityState === "hidden";
    if (!unseen && /** @type {PerformanceNavigationTiming} */ (navigation).type !== "reload") return 0;
    const idleMs = Date.now() - Number(sessionStorage.getItem(IDLE_KEY) ?? Number.NaN);
    return Math.max(0, idleMs) || (unseen ? NEVER_MS : 0);
  }, 0);
}

/** @returns {string[]} the teams that were found to be large */
export function recallLarge() {
  return attempt(() => JSON.parse(localStorage.getItem(LARGE_KEY) ?? "[]"), []);
}

/** @param {string} team */
export function rememberLarge(team) {
  const teams = [...new Set([...recallLarge(), team])].slice(-MOST);
  attempt(() => localStorage.setItem(LARGE_KEY, JSON.stringify(teams)), undefined);
}

/**
 * @template T
 * @param {() => T} work
 * @param {T} otherwise
 */
function attempt(work, otherwise) {
  try {
    return work();
  } catch {
    return otherwise;
  }
}
