/**
 * The panel for the curious: each person's worker, and the frames as they come and go.
 */

import { byId, h, write } from "./dom.js";
import { post } from "./http.js";
import { t } from "./i18n.js";
import { toast } from "./notices.js";

/**
 * @typedef {import("./dom.js").Person} Person
 * @typedef {import("./recorder.js").Line} Line
 */

const KEPT = 200;
/** How often to ask anew when another worker answers than the one that is meant. */
const ATTEMPTS = 20;
const ARROWS = { out: "→", in: "←", open: "●", close: "○" };

export class Wires {
  #seats;
  #workers;
  /** @type {Person[]} */
  #shown = [];
  /** The connection of each, while it is open. @type {Map<string, string>} */
  #connections = new Map();

  /**
   * @param {Person[]} seats
   * @param {{workers: number}} config
   */
  constructor(seats, { workers }) {
    this.#seats = new Map(seats.map((person) => [person.id, person]));
    this.#workers = workers;
    addEventListener("message", ({ origin, data }) => {
      const person = origin === location.origin ? this.#seats.get(data?.user) : undefined;
      if (person && data.line) this.#take(person, data.line);
    });
  }

  /** @param {Person[]} people who are there */
  show(people) {
    this.#shown = people;
    for (const id of this.#connections.keys()) {
      if (!people.some((person) => person.id === id)) this.#connections.delete(id);
    }
    byId("workers").replaceChildren(...people.map((person) => this.#row(person)));
    this.render();
  }

  render() {
    this.#shown.forEach((person, index) => {
      const [term, worker, button] = byId("workers").children[index].children;
      const connection = this.#connections.get(person.id);
      write(term, t("wire.worker", person));
      write(worker, connection ? workerOf(connection) : t("wire.none"));
      write(button, t("wire.kill"));
      /** @type {HTMLElement} */ (button).hidden = this.#workers < 2 || !connection;
    });
    byId("frames").dataset.empty = t("wire.empty");
  }

  /** @param {Person} person */
  #row(person) {
    const kill = h("button", { type: "button", class: "quiet", click: () => this.#kill(person) });
    return h("div", {}, h("dt"), h("dd"), kill);
  }

  /**
   * @param {Person} person
   * @param {Line} line
   */
  #take(person, { way, text, connection }) {
    if (connection) this.#connections.set(person.id, connection);
    if (way === "close") this.#connections.delete(person.id);
    if (connection || way === "close") this.render();
    const list = byId("frames");
    const followed = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
    list.append(
      h(
        "li",
        { "data-way": way },
        h("span", { class: "frame-who" }, person.name.split(" ")[0]),
        h("span", { class: "frame-way", role: "img", "aria-label": t(`wire.${way}`) }, ARROWS[way]),
        h("code", {}, text),
      ),
    );
    while (list.children.length > KEPT) list.firstElementChild?.remove();
    if (followed) list.scrollTop = list.scrollHeight;
  }

  /** @param {Person} person */
  async #kill({ id }) {
    const connection = this.#connections.get(id);
    if (!connection) return;
    // They share the port: whoever is not meant says so, and hangs up, so that the next attempt is another draw.
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const answer = await post("/demo/kill", { connection }).catch(() => null);
      if (answer?.killed) return toast(t("wire.killed", { worker: workerOf(connection) }));
    }
    toast(t("error.failed"));
  }
}

/** The name of a worker is the first part of those of its connections. @param {string} connection */
function workerOf(connection) {
  return connection.split("-")[0];
}
