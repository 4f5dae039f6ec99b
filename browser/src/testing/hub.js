/**
 * A server as one user sees it, played in memory: it speaks to a client as a hub does (client/hub.js).
 */

import { Warnings } from "../client/warnings.js";

/**
 * @typedef {import("../client.js").Status} Status
 * @typedef {{status: Status, since: number, reason: string}} Told
 */

export class FakeHub {
  /** @type {((message: any) => void) | null} */
  #receive = null;
  /** @type {Map<string, Map<string, Told>>} */
  #teams = new Map();
  /** @type {Map<string, "online" | "busy">} */
  #chosen = new Map();
  #clock;
  #user;
  #idleTimeoutMs;
  #warnings;
  #lastInput;
  /** @type {any} */
  #idleTimer;
  #state = "open";
  #fresh = true;

  /** For the client. @param {(message: any) => void} receive */
  link = (receive) => {
    this.#receive = receive;
    return { post: (/** @type {any} */ message) => this.#take(message), close: () => {} };
  };

  /**
   * @param {import("./clock.js").FakeClock} clock
   * @param {string} user
   * @param {string[]} teams
   * @param {number} idleTimeoutMs
   */
  constructor(clock, user, teams, idleTimeoutMs) {
    this.#clock = clock;
    this.#user = user;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#lastInput = clock.now();
    this.#warnings = new Warnings(
      {
        lastInput: () => this.#lastInput,
        serverNow: clock.now,
        offline: (team) => this.#state !== "open" || this.#told(team)?.status === "offline",
        explain: (team, done) => done(this.#explain(team)),
        tell: (team, offlineAt) => this.#post({ t: "warning", team, offlineAt }),
      },
      clock,
    );
    for (const team of teams) {
      this.#chosen.set(team, "online");
      this.#teams.set(team, new Map());
      this.set(team, user, "online", "signed_in");
      this.#warnings.setTimeout(team, idleTimeoutMs);
    }
    this.#planIdling();
  }

  /** @param {string} team @param {string} user @param {Status} status @param {string} reason */
  set(team, user, status, reason) {
    const users = this.#teams.get(team);
    if (!users) throw new Error(`Expected a team of the user, got '${team}': name it in 'teams'`);
    if (users.get(user)?.status === status) return;
    const told = { status, since: this.#clock.now(), reason };
    users.set(user, told);
    this.#post({ t: "users", team, entries: [[user, told]], full: null });
  }

  /** @param {boolean} lost */
  drop(lost) {
    this.#state = lost ? "waiting" : "open";
    this.#tellState();
  }

  /** @param {boolean} stale */
  stale(stale) {
    this.#fresh = !stale;
    this.#tellState();
  }

  /** @param {object} end */
  stop(end) {
    this.#post({ t: "stop", ...end, told: true });
  }

  /** @param {any} message */
  #take(message) {
    const { t } = message;
    if (t === "join") this.#join();
    else if (t === "input") this.#input();
    else if (t === "ask") this.#answer(message);
    else if (t === "logout")
      this.stop({ code: 4506, reason: "signed_out", message: "Presence has stopped: signed out" });
  }

  #join() {
    this.#tellState();
    for (const [team, users] of this.#teams) {
      this.#tellOwn(team);
      this.#post({ t: "users", team, entries: [...users], full: { covered: null } });
    }
  }

  #input() {
    this.#lastInput = this.#clock.now();
    for (const [team, chosen] of this.#chosen) this.set(team, this.#user, chosen, "active");
    this.#warnings.begin();
    this.#planIdling();
  }

  #planIdling() {
    this.#clock.clearTimeout(this.#idleTimer);
    this.#idleTimer = this.#clock.setTimeout(() => {
      for (const team of this.#teams.keys()) this.set(team, this.#user, "offline", "idle");
      this.#warnings.begin();
    }, this.#idleTimeoutMs);
  }

  /** @param {any} message */
  #answer({ id, type, fields: { status, team } }) {
    const meant = team === undefined ? [...this.#teams.keys()] : [team];
    if (!meant.every((name) => this.#teams.has(name)))
      this.#refuse(id, "not_a_member", `Expected a team, got '${team}'`);
    else if (type === "explain") this.#post({ t: "answer", id, answer: this.#explain(team) });
    else if (status !== "online" && status !== "busy")
      this.#refuse(id, "status_not_selectable", `Expected 'online' or 'busy', got '${status}'`);
    else {
      for (const name of meant) {
        this.#chosen.set(name, status);
        this.#tellOwn(name);
        this.set(name, this.#user, status, "chosen");
      }
      this.#input();
      this.#post({ t: "answer", id });
    }
  }

  /** @param {number} id @param {string} code @param {string} message */
  #refuse(id, code, message) {
    this.#post({ t: "answer", id, error: { code, message } });
  }

  /** @param {string} team */
  #explain(team) {
    const told = this.#told(team);
    const offline = told?.status === "offline";
    return {
      team,
      ...told,
      chosen: this.#chosen.get(team),
      last_active: this.#lastInput,
      connections: 1,
      next_change: offline ? null : "offline",
      next_change_at: offline ? null : this.#lastInput + this.#idleTimeoutMs,
    };
  }

  /** @param {string} team */
  #told(team) {
    return this.#teams.get(team)?.get(this.#user);
  }

  /** @param {string} team */
  #tellOwn(team) {
    const own = { chosen: this.#chosen.get(team), idleTimeoutMs: this.#idleTimeoutMs, contacts: [] };
    this.#post({ t: "self", team, own });
  }

  #tellState() {
    const teams = [...this.#teams.keys()];
    const live = this.#state === "open" && this.#fresh ? teams : [];
    const now = this.#clock.now();
    const about = { state: this.#state, code: null, retryAt: null, user: this.#user, connection: "fake", teams };
    this.#post({ t: "state", ...about, live, settled: true, now, wall: Date.now() });
  }

  /** @param {any} message */
  #post(message) {
    this.#receive?.(message);
  }
}
