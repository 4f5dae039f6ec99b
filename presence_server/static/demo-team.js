/**
 * The demo's team list: everybody, grouped by status, with how long and why.
 */

import { avatar, byId, h } from "./demo-dom.js";
import { clockTime, duration, t } from "./i18n.js";

/**
 * @typedef {import("./presence-client.js").Presence} Presence
 * @typedef {{id: string, name: string}} Person
 */

const ORDER = /** @type {const} */ (["online", "busy", "offline", "unknown"]);

export class TeamList {
  #people;
  #me;
  #status;

  /**
   * @param {Map<string, Person>} people
   * @param {string} me
   * @param {(user: string) => Presence | null} status
   */
  constructor(people, me, status) {
    this.#people = people;
    this.#me = me;
    this.#status = status;
  }

  render() {
    const before = places();
    const online = this.#withStatus("online").length;
    byId("team-count").textContent = t("team.online", { count: online });
    byId("team").replaceChildren(
      ...ORDER.map((status) => this.#group(status, this.#withStatus(status))).filter((group) => group !== null),
    );
    this.tick();
    slide(before);
  }

  /** Only what passing time changes. */
  tick() {
    for (const time of byId("team").querySelectorAll("time")) {
      time.textContent = duration(Date.now() - Date.parse(time.dateTime));
    }
  }

  /** @param {typeof ORDER[number]} status */
  #withStatus(status) {
    return [...this.#people.values()].filter(({ id }) => (this.#status(id)?.status ?? "unknown") === status);
  }

  /**
   * @param {typeof ORDER[number]} status
   * @param {Person[]} people
   */
  #group(status, people) {
    if (people.length === 0) return null;
    const id = `group-${status}`;
    return h(
      "section",
      { "aria-labelledby": id },
      h("h3", { id }, t(`status.${status}`)),
      h("ul", { class: "members" }, ...people.map((person) => this.#member(person))),
    );
  }

  /** @param {Person} person */
  #member(person) {
    const presence = this.#status(person.id);
    const you = person.id === this.#me ? h("span", { class: "you" }, t("team.you")) : null;
    return h(
      "li",
      { class: "member", "data-user": person.id, "data-status": presence?.status },
      avatar(person, 36),
      h("span", { class: presence?.reason ? "member-name" : "member-name alone" }, person.name, you),
      presence?.since ? since(presence.since) : null,
      presence?.reason ? h("span", { class: "member-reason" }, t(`reason.${presence.reason}`)) : null,
    );
  }
}

/** @param {number} instant */
function since(instant) {
  const title = t("team.since", { time: clockTime(instant) });
  return h("time", { class: "member-since", datetime: new Date(instant).toISOString(), title });
}

/** @returns {Map<string, number>} how far down each member stands */
function places() {
  const members = [...document.querySelectorAll(".member")].filter((member) => member instanceof HTMLElement);
  return new Map(members.map((member) => [member.dataset.user ?? "", member.getBoundingClientRect().top]));
}

/**
 * Let members glide from where they were to where they are.
 * @param {Map<string, number>} before
 */
function slide(before) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const member of document.querySelectorAll(".member")) {
    if (!(member instanceof HTMLElement)) continue;
    const from = before.get(member.dataset.user ?? "");
    const distance = from === undefined ? 0 : from - member.getBoundingClientRect().top;
    if (distance !== 0) {
      member.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], {
        duration: 220,
        easing: "ease-out",
      });
    }
  }
}
