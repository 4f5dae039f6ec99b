/**
 * What the elements say, in English and Spanish; other languages, and other words, by `addWords`.
 */

import { page, renderAll } from "./page.js";

const ENGLISH = {
  online: "Online",
  busy: "Busy",
  offline: "Offline",
  plain: "{name} – {status}",
  since: "{name} – {status} since {time}",
  stale: "{label} (may be out of date)",
  change: "Change status",
  away: "{status}, no activity",
  saving: "Saving…",
  unsaved: "Not saved. Choose again.",
  onlineHint: "Available",
  busyHint: "Do not disturb",
  offlineHint: "By itself after {time} without activity",
  back: "No activity. Back to {chosen} with your first input",
  signOut: "Sign out",
  reconnecting: "Reconnecting… Statuses may be out of date.",
  outdated: "Statuses may be out of date.",
  warning: "You will appear offline in {time}.",
  here: "I’m here",
  signedOut: "You have been signed out.",
  signIn: "Sign in",
  replaced: "Open in too many windows. This one is paused.",
};

/** @typedef {typeof ENGLISH} Words */

/** @type {Words} */
const SPANISH = {
  online: "En línea",
  busy: "Ocupado",
  offline: "Desconectado",
  plain: "{name} – {status}",
  since: "{name} – {status} desde {time}",
  stale: "{label} (puede no estar al día)",
  change: "Cambiar de estado",
  away: "{status}, inactivo",
  saving: "Guardando…",
  unsaved: "No se ha guardado. Vuelve a elegir.",
  onlineHint: "Disponible",
  busyHint: "No molestar",
  offlineHint: "Por sí solo tras {time} sin actividad",
  back: "Sin actividad. Vuelves a {chosen} con tu primer gesto",
  signOut: "Cerrar sesión",
  reconnecting: "Reconectando… Los estados pueden no estar al día.",
  outdated: "Los estados pueden no estar al día.",
  warning: "Aparecerás desconectado en {time}.",
  here: "Estoy aquí",
  signedOut: "Se ha cerrado tu sesión.",
  signIn: "Entrar",
  replaced: "Abierto en demasiadas ventanas. Esta está en pausa.",
};

/**
 * Add a language, or change words of one that is there; every element speaks so at once.
 * @param {string} language a BCP 47 tag, such as `fr` or `pt-BR`
 * @param {Partial<Words>} words with `{name}`, `{status}`, `{time}`, `{label}` and `{chosen}` where the English ones have
 *   them; those left out stay as they are, at first English
 */
export function addWords(language, words) {
  const tag = language.toLowerCase();
  page.words.set(tag, { ...page.words.get(tag), ...words });
  page.spoken.clear();
  renderAll();
}

/**
 * The language of an element: of the nearest `lang` around it, or the browser's.
 * @param {Element} element
 */
export function languageOf(element) {
  return element.closest("[lang]")?.getAttribute("lang") || document.documentElement.lang || navigator.language;
}

/**
 * @param {string} language
 * @param {keyof Words} key
 * @param {Record<string, string>} [values]
 */
export function say(language, key, values) {
  const words = page.spoken.get(language) ?? learn(language);
  return values ? words[key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole) : words[key];
}

/** @param {string} language */
function learn(language) {
  const tag = language.toLowerCase();
  const base = tag.split("-")[0];
  const words = { ...ENGLISH, ...(base === "es" && SPANISH), ...page.words.get(base), ...page.words.get(tag) };
  page.spoken.set(language, words);
  return words;
}

/** @type {Map<string, {format: (value: number) => string}>} */
const formats = new Map();

/**
 * Say a value as a formatter of `Intl` does. Making one takes longer than a hundred uses: each is made once.
 * @param {new (language: string, options: any) => {format: (value: number) => string}} Format
 * @param {string} language
 * @param {object} options
 * @param {string} key of the options
 * @param {number} value
 */
function format(Format, language, options, key, value) {
  const id = key + language;
  if (!formats.has(id)) {
    try {
      formats.set(id, new Format(language, options));
    } catch {
      // What stands in `lang` need not be a language.
      formats.set(id, new Format("en", options));
    }
  }
  return formats.get(id)?.format(value) ?? "";
}

/**
 * An instant as people say it: the time where it is of today, the date as well where not.
 * @param {string} language
 * @param {number} instant milliseconds since the Unix epoch
 * @param {number} now the server's, likewise
 */
export function clockTime(language, instant, now) {
  const dateStyle = now - instant < 43_200_000 ? undefined : "medium";
  return format(Intl.DateTimeFormat, language, { dateStyle, timeStyle: "short" }, `${dateStyle}`, instant);
}

/**
 * A duration as people say it, "10 min" or "45 sec".
 * @param {string} language
 * @param {number} ms
 */
export function duration(language, ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const unit = seconds < 120 ? "second" : "minute";
  const value = unit === "second" ? seconds : Math.round(seconds / 60);
  return format(Intl.NumberFormat, language, { style: "unit", unit }, unit, value);
}
