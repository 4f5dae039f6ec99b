/**
 * What the demo page tells its user: a banner, and toasts.
 */

import { byId } from "./demo-dom.js";
import { t } from "./i18n.js";

const TOAST_MS = 5_000;

/**
 * What stands until it is over.
 * @param {string | null} text null hides it
 * @param {boolean} [action]
 */
export function showBanner(text, action = false) {
  byId("banner").hidden = text === null;
  byId("banner-text").textContent = text ?? "";
  byId("banner-action").hidden = !action;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let toastTimer;

/** What has happened, for a few seconds. @param {string} text */
export function toast(text) {
  clearTimeout(toastTimer);
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  toastTimer = setTimeout(() => (byId("toast").hidden = true), TOAST_MS);
}

/** @param {Promise<unknown>} work of which only a failure needs to be told */
export function attempt(work) {
  work.catch((error) => toast(t("error.failed", { message: error.message })));
}
