/**
 * One sign-in on the demo page: a person, a client, and everything that follows them.
 */

import { avatar, byId, segments, setAttribute } from "./demo-dom.js";
import { mintToken, request } from "./demo-http.js";
import { Inbox } from "./demo-inbox.js";
import { StatusMenu } from "./demo-menu.js";
import { attempt, showBanner, toast } from "./demo-notices.js";
import { TeamList } from "./demo-team.js";
import { seconds, t } from "./i18n.js";
import { PresenceClient } from "./presence-client.js";

/**
 * @typedef {{id: string, name: string}} Person
 * @typedef {{team: string, people: Person[], idle_timeouts_s: number[]}} Config
 * @typedef {import("./presence-client.js").Presence} Presence
 */

const TICK_MS = 5_000;
/** How long the first connection may take before the banner speaks of it. */
const PATIENCE_MS = 3_000;

export class Session {
  #config;
  #me;
  #client;
  #inbox;
  #team;
  #menu;
  #onEnd;
  #token = "";
  #ended = new AbortController();
  #impatient = false;
  /** What HTTP knew of people who were offline when this page came. @type {Map<string, Presence>} */
  #absent = new Map();
  /** @type {string | null} */
  #announced = null;

  /**
   * @param {Config} config
   * @param {Person} me
   * @param {string} sid of the sign-in
   * @param {(notice: string) => void} onEnd called when the sign-in is over, with the words for it
   */
  constructor(config, me, sid, onEnd) {
    this.#onEnd = onEnd;
    this.#config = config;
    this.#me = me;
    const people = new Map(config.people.map((person) => [person.id, person]));
    this.#client = new PresenceClient({
      getToken: async () => {
        this.#token = await mintToken("/demo/token", { user: me.id, sid });
        return this.#token;
      },
    });
    this.#inbox = new Inbox(people, me.id, () => this.#paint());
    this.#team = new TeamList(people, me.id, (user) => this.#status(user));
    this.#menu = new StatusMenu(
      byId("own"),
      byId("status-menu"),
      {
        choose: (status) => attempt(this.#client.setStatus(status, config.team)),
        signOut: () => this.#signOut(),
      },
      this.#ended.signal,
    );
  }

  start() {
    this.#listen();
    this.#client.connect();
    this.render();
  }

  render() {
    byId("own-avatar").replaceChildren(avatar(this.#me, 32, true));
    byId("own-name").textContent = this.#me.name;
    this.#menu.render(this.#client.self(this.#config.team)?.chosen ?? null);
    this.#renderIdle();
    this.#team.render();
    this.#inbox.render();
    this.#renderBanner();
  }

  #listen() {
    const { signal } = this.#ended;
    /** @param {string} type @param {(detail: any) => void} listener */
    const on = (type, listener) => {
      this.#client.addEventListener(type, (event) => event instanceof CustomEvent && listener(event.detail), {
        signal,
      });
    };
    on("status", ({ changes }) => this.#onStatus(changes));
    on("self", () => this.#onSelf());
    on("feed", ({ live }) => this.#onFeed(live));
    on("connection", () => this.#renderBanner());
    on("signedout", ({ reason }) => this.#onSignedOut(reason));
    on("error", ({ error }) => toast(t("error.failed", { message: error.message })));
    byId("assign").addEventListener("click", () => attempt(this.#assignNext()), { signal });
    byId("banner-action").addEventListener("click", () => this.#client.connect(), { signal });
    for (const type of ["online", "offline"]) window.addEventListener(type, () => this.#renderBanner(), { signal });
    const ticking = setInterval(() => this.#tick(), TICK_MS);
    const waiting = setTimeout(() => this.#onPatienceEnd(), PATIENCE_MS);
    signal.addEventListener("abort", () => (clearInterval(ticking), clearTimeout(waiting)));
  }

  /** @param {import("./presence-roster.js").Changes} changes */
  #onStatus(changes) {
    for (const user of changes.keys()) this.#absent.delete(user);
    this.#team.render();
    this.#paint();
  }

  #onSelf() {
    this.#menu.render(this.#client.self(this.#config.team)?.chosen ?? null);
    this.#renderIdle();
    this.#paint();
  }

  /** @param {boolean} live */
  #onFeed(live) {
    this.#impatient = true;
    this.#paint();
    this.#renderBanner();
    // Should it fail, the next time will do: nobody asked for it.
    if (live) this.#askForAbsent().catch(() => {});
  }

  #onPatienceEnd() {
    this.#impatient = true;
    this.#renderBanner();
  }

  #tick() {
    this.#team.tick();
    this.#inbox.tick();
  }

  /** Since when, and why, people are offline is not in a snapshot: it lists who is not. */
  async #askForAbsent() {
    const { team, people } = this.#config;
    const unknown = people.map(({ id }) => id).filter((id) => this.#client.status(team, id)?.since === null);
    if (unknown.length === 0) return;
    const { users } = await this.#get(`presence?users=${unknown.map(encodeURIComponent).join(",")}`);
    for (const user of unknown) this.#absent.set(user, users[user]);
    this.#team.render();
    this.#paint();
  }

  /** Only who is online gets contacts, by the same rule that paints the dots. */
  async #assignNext() {
    const { users } = await this.#get("presence?status=online");
    toast(this.#inbox.assignNext(Object.keys(users)));
  }

  /**
   * @param {string} user
   * @returns {Presence | null}
   */
  #status(user) {
    const presence = this.#client.status(this.#config.team, user);
    const absent = this.#absent.get(user);
    return presence?.status === "offline" && presence.since === null && absent?.status === "offline"
      ? absent
      : presence;
  }

  /** Put the statuses on every avatar of the page. */
  #paint() {
    const stale = !this.#client.live;
    for (const element of document.querySelectorAll("#app presence-avatar[user]")) {
      const presence = this.#status(element.getAttribute("user") ?? "");
      setAttribute(element, "status", presence?.status ?? null);
      setAttribute(element, "since", presence?.since ? String(presence.since) : null);
      setAttribute(element, "stale", stale && presence !== null ? "" : null);
    }
    for (const element of document.querySelectorAll("#app [data-status-of]")) {
      const presence = this.#status(element.getAttribute("data-status-of") ?? "");
      element.textContent = presence === null ? "" : t(`status.${presence.status}`);
    }
    this.#paintOwn();
  }

  #paintOwn() {
    const presence = this.#status(this.#me.id);
    if (presence === null) return;
    const status = t(`status.${presence.status}`);
    byId("own-status").textContent = presence.reason === "idle" ? t("own.away", { status }) : status;
    byId("own").setAttribute("aria-label", t("menu.button", { name: this.#me.name, status }));
    if (this.#announced !== null && this.#announced !== presence.status)
      byId("announcer").textContent = t("own.announce", { status });
    this.#announced = presence.status;
  }

  #renderIdle() {
    const chosenMs = this.#client.self(this.#config.team)?.idleTimeoutMs;
    const choices = this.#config.idle_timeouts_s.map((value) => ({ value, text: seconds(value) }));
    segments(byId("idle"), choices, chosenMs === undefined ? null : chosenMs / 1_000, (value) =>
      attempt(this.#setIdle(value)),
    );
  }

  /** @param {number} idleTimeout in seconds */
  async #setIdle(idleTimeout) {
    const token = await mintToken("/demo/admin-token", {});
    await request(`/v1/teams/${this.#config.team}/settings`, {
      method: "PUT",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ idle_timeout: idleTimeout }),
    });
  }

  #renderBanner() {
    const { state, live } = this.#client;
    const hidden = live || state === "stopped" || !this.#impatient;
    const key = !navigator.onLine ? "network" : state === "open" ? "stale" : "reconnecting";
    showBanner(hidden ? null : t(`banner.${key}`));
  }

  async #signOut() {
    try {
      await this.#client.logout();
    } catch (error) {
      toast(t("error.failed", { message: error instanceof Error ? error.message : String(error) }));
      this.#client.connect();
    }
  }

  /** @param {string} reason */
  #onSignedOut(reason) {
    this.#paint();
    if (reason === "replaced") {
      showBanner(t("banner.replaced"), true);
    } else if (reason === "signed_out" || reason === "token_refused" || reason === "no_token") {
      this.#ended.abort();
      this.#onEnd(t(reason === "signed_out" ? "signin.signed_out" : "signin.ended"));
    } else {
      showBanner(t("banner.stopped", { reason }));
    }
  }

  /** @param {string} path */
  #get(path) {
    return request(`/v1/teams/${this.#config.team}/${path}`, { headers: { Authorization: `Bearer ${this.#token}` } });
  }
}
