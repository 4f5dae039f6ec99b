/**
 * The demo's application: sign in as one of two, see everybody's status, choose your own. It runs in a frame of the front
 * page, or in a window of its own.
 */

import { addWords } from "/static/presence.js";
import { avatar, byId, h, icon } from "./dom.js";
import { request } from "./http.js";
import { languageEvents, t, translatePage } from "./i18n.js";
import { Session } from "./session.js";
import { WORDS } from "./words.js";

/**
 * @typedef {import("./dom.js").Person} Person
 * @typedef {import("./session.js").Config} Config
 */

const named = new URLSearchParams(location.search).get("user");
// Frames of one page share their storage, and are different people.
const SESSION_KEY = `demo:session:${named ?? ""}`;

/** @type {Session | null} */
let session = null;
let redrawSignIn = () => {};

/**
 * @param {Config} config
 * @param {string} [notice]
 */
function showSignIn(config, notice = "") {
  redrawSignIn = () => {
    const seats = config.people.filter(({ id }) => config.seats.includes(id));
    byId("people").replaceChildren(...seats.map((person) => h("li", {}, seat(config, person))));
  };
  redrawSignIn();
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-notice").hidden = notice === "";
  byId("sign-in-notice").textContent = notice;
}

/**
 * @param {Config} config
 * @param {Person} person
 */
function seat(config, person) {
  const attributes = {
    type: "button",
    class: "person",
    "aria-label": t("signin.as", person),
    click: () => {
      signIn(config, person);
      byId("own").focus();
    },
  };
  const forward = icon("chevron");
  forward.classList.add("forward");
  return h("button", attributes, avatar(person, 40, true), h("span", {}, person.name), forward);
}

/**
 * @param {Config} config
 * @param {Person} person
 * @param {string} [sid] of a sign-in that goes on
 */
function signIn(config, person, sid = newSessionId()) {
  sessionStorage.setItem(SESSION_KEY, JSON.stringify({ user: person.id, sid }));
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
  document.title = `${person.name} – Harbor Inbox`;
  session = new Session(
    config,
    person,
    sid,
    (notice) => signedOut(config, notice),
    (line) => tell(person, line),
  );
}

/**
 * @param {Config} config
 * @param {string} notice
 */
function signedOut(config, notice) {
  session = null;
  sessionStorage.setItem(SESSION_KEY, JSON.stringify(null));
  document.title = "Harbor Inbox";
  showSignIn(config, notice);
  byId("sign-in-title").focus();
}

function newSessionId() {
  // Not crypto.randomUUID, which plain HTTP from another machine does not have.
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Show the page around it what goes over the wire.
 * @param {Person} person
 * @param {import("./recorder.js").Line} line
 */
function tell(person, line) {
  if (parent !== window) parent.postMessage({ user: person.id, line }, location.origin);
}

/** Who is signed in here, if anybody: null after a sign-out. @returns {{user: string, sid?: string} | null} */
function remembered() {
  const stored = sessionStorage.getItem(SESSION_KEY);
  return stored === null ? (named === null ? null : { user: named }) : JSON.parse(stored);
}

function speak() {
  translatePage();
  redrawSignIn();
  session?.render();
}

// The elements say in the application's words what its statuses mean.
for (const [code, words] of Object.entries(WORDS)) {
  addWords(code, { onlineHint: words["menu.online"], busyHint: words["menu.busy"] });
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
const person = config.people.find(({ id }) => id === known?.user && config.seats.includes(id));
if (person === undefined) showSignIn(config);
else signIn(config, person, known?.sid);
