/**
 * What the demo page tells its user for a few seconds. The page says it in his words; the server's go to the console.
 */

import { byId } from "./dom.js";
import { t } from "./i18n.js";

const TOAST_MS = 5_000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} text */
export function toast(text) {
  clearTimeout(timer);
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  timer = setTimeout(() => {
    byId("toast").hidden = true;
    byId("toast").textContent = "";
  }, TOAST_MS);
}

/** @param {Promise<unknown>} work of which only a failure needs to be told */
export async function attempt(work) {
  try {
    await work;
  } catch (error) {
    console.info(error);
    toast(t("error.failed"));
  }
}
