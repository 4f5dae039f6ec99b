/**
 * The demo page: sign in as anybody, see everybody's status, choose your own.
 */

import { avatar, byId, h, icon, segments } from "./demo-dom.js";
import { request } from "./demo-http.js";
import { showBanner } from "./demo-notices.js";
import { Session } from "./demo-session.js";
import { currentLanguage, LANGUAGES, languageEvents, setLanguage, t, translatePage } from "./i18n.js";
import { PresenceAvatar } from "./presence-avatar.js";

/**
 * @typedef {import("./demo-session.js").Person} Person
 * @typedef {import("./demo-session.js").Config} Config
 */

const SESSION_KEY = "demo:session";

/** @type {Session | null} */
let session = null;
let redrawSignIn = () => {};

/**
 * @param {Config} config
 * @param {string} [notice]
 */
function showSignIn(config, notice = "") {
  redrawSignIn = () => {
    byId("people").replaceChildren(
      ...config.people.map((person) => {
        const attributes = {
          type: "button",
          class: "person",
          "aria-label": t("signin.as", person),
          click: () => signIn(config, person),
        };
        const forward = icon("chevron");
        forward.classList.add("forward");
        return h("li", {}, h("button", attributes, avatar(person, 40, true), h("span", {}, person.name), forward));
      }),
    );
  };
  redrawSignIn();
  byId("sign-in-notice").textContent = notice;
  byId("sign-in-notice").hidden = notice === "";
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
}

/**
 * @param {Config} config
 * @param {Person} person
 * @param {string} [sid] of a sign-in that goes on
 */
function signIn(config, person, sid = newSessionId()) {
  sessionStorage.setItem(SESSION_KEY, JSON.stringify({ user: person.id, sid }));
  const clicked = document.activeElement;
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
  document.title = `${person.name} – Harbor Inbox`;
  session = new Session(config, person, sid, (notice) => signedOut(config, notice));
  session.start();
  if (byId("sign-in").contains(clicked)) byId("own").focus();
}

/**
 * @param {Config} config
 * @param {string} notice
 */
function signedOut(config, notice) {
  session = null;
  sessionStorage.removeItem(SESSION_KEY);
  history.replaceState(null, "", "/");
  document.title = "Harbor Inbox";
  showBanner(null);
  showSignIn(config, notice);
}

function newSessionId() {
  // Not crypto.randomUUID, which plain HTTP from another machine does not have.
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Who is signed in in this window, if anybody. @returns {{user: string, sid?: string} | null} */
function remembered() {
  const stored = JSON.parse(sessionStorage.getItem(SESSION_KEY) ?? "null");
  const named = new URLSearchParams(location.search).get("user");
  return named !== null && named !== stored?.user ? { user: named } : stored;
}

function renderLanguages() {
  const choices = Object.keys(LANGUAGES).map((code) => ({ value: code, text: code.toUpperCase(), lang: code }));
  for (const group of document.querySelectorAll("[data-languages]")) {
    if (!(group instanceof HTMLElement)) continue;
    group.className = "segments";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", t("language.label"));
    segments(group, choices, currentLanguage(), (code) => setLanguage(code === "es" ? "es" : "en"));
    for (const [index, name] of Object.values(LANGUAGES).entries())
      group.children[index].setAttribute("aria-label", name);
  }
}

function speak() {
  const words = ["plain", "since", "stale"].map((key) => [key, t(`avatar.${key}`)]);
  const statuses = ["online", "busy", "offline"].map((key) => [key, t(`status.${key}`)]);
  PresenceAvatar.speak(currentLanguage(), Object.fromEntries([...words, ...statuses]));
  translatePage();
  renderLanguages();
  redrawSignIn();
  session?.render();
}

for (const button of document.querySelectorAll("[data-pane-button]")) {
  button.addEventListener(
    "click",
    () => (byId("app").dataset.pane = button.getAttribute("data-pane-button") ?? "inbox"),
  );
}
languageEvents.addEventListener("change", speak);
speak();
const config = /** @type {Config} */ (await request("/demo/config"));
const known = remembered();
const person = config.people.find(({ id }) => id === known?.user);
if (person === undefined) showSignIn(config);
else signIn(config, person, known?.sid);
