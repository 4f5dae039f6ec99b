/**
 * The tabs that share a hub: who is there, who looks at it, and who can bring a token.
 */

import { PresenceError } from "./errors.js";

/** A tab says something every ten seconds, in the background every minute; who has been silent for longer is gone. */
const SILENT_MS = 150_000;
/** Longer than a tab waits for its own page. */
const TOKEN_MS = 12_000;

/**
 * @typedef {object} Seat
 * @property {import("./hub.js").Port} port
 * @property {string} fallback the team that it means where it names none; empty: the first
 * @property {number} heardAt
 * @property {boolean} visible
 * @property {Map<string, Set<string | null>>} wants whom it listens to, by team; null: the whole team
 * @property {Set<number>} asks what it waits for
 */

export class Seats {
  /** @type {Map<import("./hub.js").Port, Seat>} */
  #seats = new Map();
  /** @type {Map<number, {seat: Seat, settle: (message: any) => void}>} */
  #asking = new Map();
  #lastId = 0;
  #clock;

  /** @param {import("./types.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** How many tabs there are. */
  get size() {
    return this.#seats.size;
  }

  /** Whether somebody looks at one of them. */
  get inUse() {
    return [...this.#seats.values()].some(({ visible }) => visible);
  }

  all() {
    return [...this.#seats.values()];
  }

  /** @param {any} message to everybody */
  post(message) {
    for (const { port } of this.all()) port.post(message);
  }

  clear() {
    for (const seat of this.all()) this.remove(seat);
  }

  /**
   * @param {import("./hub.js").Port} port
   * @param {any} message that came from there; a `join` takes a seat
   * @returns {Seat | undefined} undefined: it has none, or none any more
   */
  of(port, message) {
    const now = this.#clock.now();
    for (const seat of this.all()) if (now - seat.heardAt > SILENT_MS && seat.port !== port) this.remove(seat);
    if (message.t === "join" && !this.#seats.has(port)) {
      const seat = { port, fallback: message.team, heardAt: now, visible: false, wants: new Map(), asks: new Set() };
      this.#seats.set(port, seat);
    }
    const seat = this.#seats.get(port);
    if (seat) seat.heardAt = now;
    if (message.t === "join") seat?.wants.clear();
    if (seat && "visible" in message) seat.visible = message.visible;
    return seat;
  }

  /** @param {Seat} seat */
  remove(seat) {
    this.#seats.delete(seat.port);
    for (const asked of [...this.#asking.values()]) if (asked.seat === seat) asked.settle(null);
  }

  /** @param {Seat} seat @param {number} id @returns {boolean} false: it has been asked before, and is under way */
  begin(seat, id) {
    return !seat.asks.has(id) && !!seat.asks.add(id);
  }

  /** @param {Seat} seat @param {number} id */
  end(seat, id) {
    seat.asks.delete(id);
  }

  /**
   * Ask the tabs for a token, one after another, until one can bring it; those in view first.
   * @param {"connect" | "renew" | "refused"} why
   * @returns {Promise<string | null>} null: nobody is signed in
   * @throws {PresenceError} as a rejection: a page has failed to bring one, or there is none
   */
  async askForToken(why) {
    const order = this.all().sort((a, b) => Number(b.visible) - Number(a.visible) || b.heardAt - a.heardAt);
    for (const seat of order) {
      const answer = await this.#askOne(seat, why);
      if (answer?.error) throw new PresenceError(answer.error.code, answer.error.message);
      if (answer) return answer.token;
    }
    throw new PresenceError("unavailable", "Expected a page that brings a token, got none that answers");
  }

  /** @param {Seat} seat @param {any} message */
  answerToken(seat, message) {
    const asked = this.#asking.get(message.id);
    if (asked?.seat === seat) asked.settle(message);
  }

  /**
   * @param {Seat} seat
   * @param {string} why
   * @returns {Promise<any>} its answer; null when it does not answer
   */
  #askOne(seat, why) {
    if (!this.#seats.has(seat.port)) return Promise.resolve(null);
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => settle(null), TOKEN_MS);
      /** @param {any} answer */
      const settle = (answer) => {
        this.#clock.clearTimeout(timer);
        this.#asking.delete(id);
        resolve(answer);
      };
      this.#asking.set(id, { seat, settle });
      seat.port.post({ t: "token", id, why });
    });
  }
}
