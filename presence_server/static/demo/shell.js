/**
 * The demo's front page: one or two people, each in a frame that is a browser of his own, and what goes over their wires.
 */

import { byId, h, segments, write } from "./dom.js";
import { request } from "./http.js";
import { currentLanguage, LANGUAGES, languageEvents, setLanguage, t, translatePage } from "./i18n.js";
import { toast } from "./notices.js";
import { Wires } from "./wires.js";

/**
 * @typedef {import("./dom.js").Person} Person
 * @typedef {import("./session.js").Config} Config
 */

const PEOPLE_KEY = "demo:people";
const WIDE = matchMedia("(width >= 1100px)");
const CODE = `<link rel="stylesheet" href="/static/presence.css" />
<script type="module" src="/static/presence.js"></script>
<presence-provider token-url="/presence-token">
  <presence-avatar user="maria" name="María García"></presence-avatar>
</presence-provider>`;

const config = /** @type {Config} */ (await request("/demo/config"));
const seats = config.seats.map((seat) => /** @type {Person} */ (config.people.find(({ id }) => id === seat)));
const wires = new Wires(seats, config);
let count = Number(sessionStorage.getItem(PEOPLE_KEY)) || (WIDE.matches ? 2 : 1);

/** Those who are there stay as they are. */
function seatPeople() {
  const stage = byId("stage");
  stage.dataset.people = String(count);
  seats.forEach((person, index) => {
    const there = stage.children[index];
    if (index < count && !there) stage.append(seat(person));
    else if (index >= count) there?.remove();
  });
  wires.show(seats.slice(0, count));
}

/** @param {Person} person */
function seat(person) {
  const address = `/demo/app?user=${encodeURIComponent(person.id)}`;
  return h(
    "section",
    { class: "seat", "data-user": person.id },
    h("header", { class: "seat-bar" }, h("h2", {}), h("a", { href: address, target: "_blank", rel: "noopener" })),
    h("iframe", { src: address }),
  );
}

function speak() {
  translatePage();
  const languages = Object.entries(LANGUAGES).map(([code, text]) => ({ value: code, text, lang: code }));
  segments(byId("languages"), languages, currentLanguage(), (code) => setLanguage(code === "es" ? "es" : "en"));
  const counts = [
    { value: 1, text: t("shell.one") },
    { value: 2, text: t("shell.two") },
  ];
  segments(byId("people-count"), counts, count, choosePeople);
  seats.forEach((person, index) => {
    const frame = byId("stage").children[index];
    if (!frame) return;
    const title = t("shell.seat", person);
    const link = /** @type {HTMLElement} */ (frame.querySelector("a"));
    write(/** @type {HTMLElement} */ (frame.querySelector("h2")), title);
    frame.querySelector("iframe")?.setAttribute("title", title);
    write(link, t("shell.window"));
    link.setAttribute("aria-label", t("shell.window_of", person));
  });
  wires.render();
}

/** @param {number} chosen */
function choosePeople(chosen) {
  count = chosen;
  sessionStorage.setItem(PEOPLE_KEY, String(chosen));
  seatPeople();
  speak();
}

byId("code").textContent = CODE;
byId("version").textContent = config.version;
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(CODE);
  toast(t("code.copied"));
});
languageEvents.addEventListener("change", speak);
seatPeople();
speak();
