/**
 * What happens to a page: it is looked at, put away, frozen, and its network comes and goes.
 */

/**
 * @typedef {object} Owner
 * @property {(visible: boolean) => void} onSeen
 * @property {(up: boolean) => void} onNetwork
 * @property {() => void} onLeft it may come back as it was, which an open socket would prevent
 * @property {() => void} onBack
 * @property {() => void} onFreeze
 * @property {() => void} onThaw
 */

/** @param {Owner} owner @param {AbortSignal} signal ends it */
export function watchPage(owner, signal) {
  /** @param {EventTarget} target @param {string} type @param {(event: any) => void} fn */
  const on = (target, type, fn) => target.addEventListener(type, fn, { signal });
  on(document, "visibilitychange", () => owner.onSeen(document.visibilityState === "visible"));
  on(window, "online", () => owner.onNetwork(true));
  on(window, "offline", () => owner.onNetwork(false));
  on(window, "pagehide", () => owner.onLeft());
  on(window, "pageshow", ({ persisted }) => persisted && owner.onBack());
  on(document, "freeze", () => owner.onFreeze());
  on(document, "resume", () => owner.onThaw());
}
