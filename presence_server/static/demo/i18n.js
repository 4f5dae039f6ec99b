/**
 * Which language the demo speaks, and how it says words, times and durations in it.
 */

import { WORDS } from "./words.js";

const STORAGE_KEY = "demo:language";

/** @typedef {"en" | "es"} Language */

/** @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", es: "Español" };

/** Tells `change` when another language was chosen. */
export const languageEvents = new EventTarget();

/** @type {Language} */
let language = stored() ?? preferred();

/** @returns {Language} */
export function currentLanguage() {
  return language;
}

/** @param {Language} chosen */
export function setLanguage(chosen) {
  language = chosen;
  try {
    localStorage.setItem(STORAGE_KEY, chosen);
  } catch {
    // Storage can be forbidden; then the choice lasts as long as the page.
  }
  languageEvents.dispatchEvent(new Event("change"));
}

// The frames of a page, and other windows, follow.
addEventListener("storage", ({ key }) => {
  const chosen = key === STORAGE_KEY ? stored() : null;
  if (chosen === null || chosen === language) return;
  language = chosen;
  languageEvents.dispatchEvent(new Event("change"));
});

/**
 * @param {string} key
 * @param {object} [values]
 */
export function t(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (whole, name) => String(Reflect.get(values, name) ?? whole));
}

/**
 * Fill in the words of everything that names them: `data-i18n` its text, `data-i18n-label` its accessible name,
 * `data-i18n-placeholder` its placeholder.
 */
export function translatePage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]"))
    element.textContent = t(element.getAttribute("data-i18n") ?? "");
  for (const element of document.querySelectorAll("[data-i18n-label]")) {
    element.setAttribute("aria-label", t(element.getAttribute("data-i18n-label") ?? ""));
  }
  for (const element of document.querySelectorAll("[data-i18n-placeholder]")) {
    element.setAttribute("placeholder", t(element.getAttribute("data-i18n-placeholder") ?? ""));
  }
}

const UNITS = /** @type {const} */ ([
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
]);

/**
 * @param {number} ms
 * @returns {string} such as "5 min"; "now" below a minute
 */
export function duration(ms) {
  for (const [unit, size] of UNITS) {
    if (ms >= size) return quantity(Math.floor(ms / size), unit);
  }
  return t("time.now");
}

/**
 * @param {number} seconds
 * @returns {string} such as "5 sec" or "10 min"
 */
export function seconds(seconds) {
  return seconds < 60 ? quantity(seconds, "second") : quantity(seconds / 60, "minute");
}

/** @param {number} instant milliseconds since the Unix epoch */
export function clockTime(instant) {
  return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(instant);
}

/**
 * @param {number} count
 * @param {string} unit
 */
function quantity(count, unit) {
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(count);
}

/** @returns {Language | null} */
function stored() {
  try {
    const value = localStorage.getItem(STORAGE_KEY);
    return value === "en" || value === "es" ? value : null;
  } catch {
    return null;
  }
}

/** @returns {Language} */
function preferred() {
  return navigator.language.toLowerCase().startsWith("es") ? "es" : "en";
}
