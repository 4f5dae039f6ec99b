/**
 * What counts as human input in this tab, and how long ago it was.
 */

const INPUT_EVENTS = ["pointerdown", "pointermove", "keydown", "touchstart", "touchmove", "wheel"];
const THROTTLE_MS = 250;
const STORAGE_KEY = "presence:last-input";

/**
 * Call back on human input: pointer, keyboard, touch, wheel, and coming back to the tab.
 *
 * Only what a person did counts. Events made by scripts are not trusted; `scroll` is left out because a script's
 * scrolling looks the same; and a pointer that "moved" to where it already was has not: browsers report that when
 * the page moves under it.
 *
 * @param {() => void} onInput called at most every quarter of a second
 * @param {AbortSignal} signal ends it
 */
export function watchActivity(onInput, signal) {
  let lastCall = -Infinity;
  let pointer = "";
  const input = () => {
    const now = performance.now();
    if (now - lastCall < THROTTLE_MS) return;
    lastCall = now;
    onInput();
  };
  /** @param {Event} event */
  const onEvent = (event) => {
    if (!event.isTrusted) return;
    if (event instanceof PointerEvent) {
      const place = `${event.screenX},${event.screenY}`;
      const still = event.type === "pointermove" && (pointer === "" || place === pointer);
      pointer = place;
      if (still) return;
    }
    input();
  };
  const options = { capture: true, passive: true, signal };
  for (const type of INPUT_EVENTS) window.addEventListener(type, onEvent, options);
  window.addEventListener("focus", (event) => event.isTrusted && input(), { signal });
  const onVisible = () => document.visibilityState === "visible" && document.hasFocus() && input();
  document.addEventListener("visibilitychange", onVisible, { signal });
}

/**
 * Keep the age of the last input over a reload of this tab: a page that reloads itself is no one's activity.
 * @param {number} idleMs
 */
export function rememberIdle(idleMs) {
  try {
    sessionStorage.setItem(STORAGE_KEY, String(Date.now() - idleMs));
  } catch {
    // Storage can be forbidden; then a reload counts as input.
  }
}

/**
 * @returns {number} milliseconds since the last input before a reload; 0 when a person came here another way, or has
 *   used the page since
 */
export function recallIdle() {
  if (navigator.userActivation?.hasBeenActive) return 0;
  const [navigation] = performance.getEntriesByType("navigation");
  if (!(navigation instanceof PerformanceNavigationTiming) || navigation.type !== "reload") return 0;
  try {
    const stored = Number(sessionStorage.getItem(STORAGE_KEY) ?? Number.NaN);
    return Number.isFinite(stored) ? Math.max(0, Date.now() - stored) : 0;
  } catch {
    return 0;
  }
}
