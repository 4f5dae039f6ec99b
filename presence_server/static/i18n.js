/**
 * The demo page's words in English and Spanish.
 */

const STORAGE_KEY = "demo:language";

/** @typedef {"en" | "es"} Language */

/** @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", es: "Español" };

/** @type {Record<string, string>} */
const EN = {
  "signin.title": "Sign in to Harbor",
  "signin.lead": "Pick anyone. Open a second window to be two people at once.",
  "signin.as": "Sign in as {name}",
  "signin.signed_out": "You are signed out.",
  "signin.ended": "Your session has ended. Sign in again.",
  "language.label": "Language",
  "nav.label": "Views",
  "status.online": "Online",
  "status.busy": "Busy",
  "status.offline": "Offline",
  "status.unknown": "Not known yet",
  "avatar.plain": "{name} – {status}",
  "avatar.since": "{name} – {status} since {time}",
  "avatar.stale": "{label} (may be out of date)",
  "menu.label": "Your status",
  "menu.button": "{name}, {status}. Change status",
  "menu.online": "Ready for new conversations",
  "menu.busy": "No new conversations for now",
  "menu.offline": "Comes by itself when you are away or sign out",
  "menu.sign_out": "Sign out",
  "own.announce": "Your status: {status}",
  "own.away": "{status}, no activity",
  "inbox.title": "Inbox",
  "inbox.filters": "Filter conversations",
  "inbox.all": "All",
  "inbox.mine": "Mine",
  "inbox.open": "Unassigned",
  "inbox.unassigned": "Unassigned",
  "inbox.empty": "Nothing here.",
  "inbox.assign": "Assign next contact",
  "inbox.assign_hint": "Goes to whoever is online, in turn.",
  "inbox.assigned": "{customer} goes to {agent}.",
  "inbox.nobody": "Nobody is online. The contact waits.",
  "inbox.none_left": "Every conversation is assigned.",
  "thread.back": "Back to the inbox",
  "thread.messages": "Messages",
  "thread.reply": "Write a reply…",
  "thread.send": "Send",
  "team.title": "Team",
  "team.online": "{count} online",
  "team.you": "you",
  "team.since": "since {time}",
  "reason.signed_in": "Signed in",
  "reason.active": "Back again",
  "reason.chosen": "Own choice",
  "reason.idle": "No activity",
  "reason.disconnected": "Connection lost",
  "reason.signed_out": "Signed out",
  "reason.forced": "Set by an administrator",
  "reason.settings": "Team setting changed",
  "settings.idle": "Offline after no activity for",
  "settings.idle_hint": "For the whole team, at once. Choose the shortest and keep still.",
  "time.now": "now",
  "banner.reconnecting": "Reconnecting… Statuses may be out of date.",
  "banner.stale": "Statuses may be out of date. They come back by themselves.",
  "banner.network": "You are offline. Statuses may be out of date.",
  "banner.replaced": "Harbor is open in too many windows. This one is paused.",
  "banner.stopped": "The server has refused the connection ({reason}).",
  "banner.use_here": "Use it here",
  "error.failed": "That did not work: {message}",
};

/** @type {Record<string, string>} */
const ES = {
  "signin.title": "Entrar en Harbor",
  "signin.lead": "Elige a cualquiera. Abre otra ventana para ser dos personas a la vez.",
  "signin.as": "Entrar como {name}",
  "signin.signed_out": "Has cerrado la sesión.",
  "signin.ended": "Tu sesión ha terminado. Vuelve a entrar.",
  "language.label": "Idioma",
  "nav.label": "Vistas",
  "status.online": "En línea",
  "status.busy": "Ocupado",
  "status.offline": "Desconectado",
  "status.unknown": "Aún sin saber",
  "avatar.plain": "{name} – {status}",
  "avatar.since": "{name} – {status} desde {time}",
  "avatar.stale": "{label} (puede no estar al día)",
  "menu.label": "Tu estado",
  "menu.button": "{name}, {status}. Cambiar de estado",
  "menu.online": "Listo para nuevas conversaciones",
  "menu.busy": "Sin conversaciones nuevas por ahora",
  "menu.offline": "Llega solo cuando te ausentas o cierras la sesión",
  "menu.sign_out": "Cerrar sesión",
  "own.announce": "Tu estado: {status}",
  "own.away": "{status}, sin actividad",
  "inbox.title": "Bandeja",
  "inbox.filters": "Filtrar conversaciones",
  "inbox.all": "Todas",
  "inbox.mine": "Mías",
  "inbox.open": "Sin asignar",
  "inbox.unassigned": "Sin asignar",
  "inbox.empty": "No hay nada aquí.",
  "inbox.assign": "Asignar el siguiente contacto",
  "inbox.assign_hint": "Por turnos, a quien esté en línea.",
  "inbox.assigned": "{customer} pasa a {agent}.",
  "inbox.nobody": "No hay nadie en línea. El contacto espera.",
  "inbox.none_left": "Todas las conversaciones están asignadas.",
  "thread.back": "Volver a la bandeja",
  "thread.messages": "Mensajes",
  "thread.reply": "Escribe una respuesta…",
  "thread.send": "Enviar",
  "team.title": "Equipo",
  "team.online": "{count} en línea",
  "team.you": "tú",
  "team.since": "desde {time}",
  "reason.signed_in": "Ha entrado",
  "reason.active": "De vuelta",
  "reason.chosen": "Elección propia",
  "reason.idle": "Sin actividad",
  "reason.disconnected": "Conexión perdida",
  "reason.signed_out": "Ha cerrado la sesión",
  "reason.forced": "Puesto por un administrador",
  "reason.settings": "Cambió el ajuste del equipo",
  "settings.idle": "Desconectado tras inactividad de",
  "settings.idle_hint": "Para todo el equipo, al momento. Elige el más corto y no te muevas.",
  "time.now": "ahora",
  "banner.reconnecting": "Reconectando… Los estados pueden no estar al día.",
  "banner.stale": "Los estados pueden no estar al día. Volverán solos.",
  "banner.network": "No tienes conexión. Los estados pueden no estar al día.",
  "banner.replaced": "Harbor está abierto en demasiadas ventanas. Esta está en pausa.",
  "banner.stopped": "El servidor ha rechazado la conexión ({reason}).",
  "banner.use_here": "Usar aquí",
  "error.failed": "No ha funcionado: {message}",
};

/** @type {Record<Language, Record<string, string>>} */
export const WORDS = { en: EN, es: ES };

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

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
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
