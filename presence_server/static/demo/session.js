/**
 * One sign-in on the demo page: a person, a client, and what follows them. The dots, the menu and the banner follow by
 * themselves.
 */

import { connect } from "/static/presence.js";
import { Countdown } from "./countdown.js";
import { byId, segments, setAttribute } from "./dom.js";
import { post, request } from "./http.js";
import { seconds, t } from "./i18n.js";
import { Inbox } from "./inbox.js";
import { attempt, toast } from "./notices.js";
import { recording } from "./recorder.js";
import { TeamList } from "./team.js";

/**
 * @typedef {import("./dom.js").Person} Person
 * @typedef {{team: string, people: Person[], seats: string[], idle_timeouts_s: number[], version: string, workers: number}} Config
 * @typedef {import("/static/presence.js").PresenceClient} PresenceClient
 */

const TICK_MS = 5_000;

export class Session {
  #config;
  #onEnd;
  #client;
  #inbox;
  #team;
  #countdown;
  #token = "";
  #ended = new AbortController();

  /**
   * @param {Config} config
   * @param {Person} me
   * @param {string} sid of the sign-in
   * @param {(notice: string) => void} onEnd called when the sign-in is over, with the words for it
   * @param {(line: import("./recorder.js").Line) => void} onFrame
   */
  constructor(config, me, sid, onEnd, onFrame) {
    this.#config = config;
    this.#onEnd = onEnd;
    this.#client = connect({
      getToken: async () => (this.#token = (await post("/demo/token", { user: me.id, sid })).token),
      team: config.team,
      WebSocket: recording(onFrame),
    });
    const { signal } = this.#ended;
    const people = new Map(config.people.map((person) => [person.id, person]));
    this.#inbox = new Inbox(people, me.id, this.#client);
    this.#team = new TeamList(config.people, me.id, this.#client);
    this.#countdown = new Countdown(this.#client, signal);
    for (const [name, value] of Object.entries({ user: me.id, name: me.name, src: me.photo })) {
      setAttribute(byId("own"), name, value);
    }
    this.#listen(signal);
    this.render();
  }

  render() {
    this.#renderIdle();
    this.#team.render();
    this.#inbox.render();
    this.#countdown.render();
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const offs = [
      this.#client.subscribeTeam(this.#config.team, () => this.#onStatus()),
      this.#client.on("self", () => this.#renderIdle()),
      this.#client.on("signedout", ({ reason }) => this.#onSignedOut(reason)),
      this.#client.on("error", ({ error }) => console.info(error)),
    ];
    byId("assign").addEventListener("click", () => attempt(this.#assignNext()), { signal });
    byId("own").addEventListener("presence-signout", (event) => this.#signOut(event), { signal });
    const ticking = setInterval(() => this.#tick(), TICK_MS);
    signal.addEventListener("abort", () => {
      clearInterval(ticking);
      for (const off of offs) off();
    });
  }

  #onStatus() {
    this.#team.render();
    this.#inbox.renderAgent();
  }

  #tick() {
    this.#team.tick();
    this.#inbox.tick();
  }

  /** Only who is online gets contacts, by the same rule that paints the dots. */
  async #assignNext() {
    const headers = { Authorization: `Bearer ${this.#token}` };
    const { users } = await request(`/v1/teams/${this.#config.team}/presence?status=online`, { headers });
    toast(this.#inbox.assignNext(Object.keys(users)));
  }

  #renderIdle() {
    const chosenMs = this.#client.self()?.idleTimeoutMs;
    const choices = this.#config.idle_timeouts_s.map((value) => ({ value, text: seconds(value) }));
    segments(byId("idle"), choices, chosenMs === undefined ? null : chosenMs / 1_000, (value) =>
      attempt(this.#setIdle(value)),
    );
    this.#countdown.render();
  }

  /** @param {number} idleTimeout in seconds */
  async #setIdle(idleTimeout) {
    const { token } = await post("/demo/admin-token", {});
    await request(`/v1/teams/${this.#config.team}/settings`, {
      method: "PUT",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ idle_timeout: idleTimeout }),
    });
  }

  /** @param {Event} event */
  async #signOut(event) {
    event.preventDefault();
    // It ends whether the server has heard it or not.
    await this.#client.logout();
    this.#end(t("signin.signed_out"));
  }

  /** @param {string} reason */
  #onSignedOut(reason) {
    // What cannot be mended by signing in again, the banner tells.
    if (reason === "signed_out") this.#end(t("signin.signed_out"));
    else if (reason === "token_refused" || reason === "no_token") this.#end(t("signin.ended"));
  }

  /** @param {string} notice */
  #end(notice) {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#client.close();
    this.#onEnd(notice);
  }
}
