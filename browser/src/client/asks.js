/**
 * What has been asked of the server and not been answered yet.
 */

import { PresenceError } from "./errors.js";

/**
 * @typedef {object} Ask
 * @property {{type: string, id: number, [field: string]: unknown}} message
 * @property {(error: PresenceError | null, answer?: any) => void} done
 * @property {boolean} sent on the present connection
 * @property {any} timer
 */

/** How long a choice may stay unanswered on an open connection, before that counts as dead. */
const ANSWER_MS = 5_000;

/**
 * Requests by id, each answered once. Choices and questions outlive a connection; a renewal does not. Choices go before
 * everything else, and who is told that he asks too often asks again by himself.
 */
export class Asks {
  /** @type {Map<number, Ask>} */
  #pending = new Map();
  #lastId = 0;
  #connection;
  #clock;
  #mayJudge;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {import("./types.js").Clock} clock
   * @param {() => boolean} mayJudge whether silence means a dead link: not while the server waits for Redis itself
   */
  constructor(connection, clock, mayJudge) {
    this.#connection = connection;
    this.#clock = clock;
    this.#mayJudge = mayJudge;
  }

  /** An id for a message that nobody waits for. */
  nextId() {
    return ++this.#lastId;
  }

  /**
   * @param {string} type
   * @param {object} fields
   * @param {(error: PresenceError | null, answer?: any) => void} done
   * @returns {() => void} forgets it
   */
  add(type, fields, done) {
    const id = this.nextId();
    /** @type {Ask} */
    const ask = { message: { type, id, ...fields }, done, sent: false, timer: undefined };
    this.#pending.set(id, ask);
    this.#send(ask);
    return () => this.#take(id);
  }

  /** The connection is open: say what it has not heard, choices first. */
  resend() {
    const asks = [...this.#pending.values()];
    for (const ask of asks) ask.sent = false;
    for (const choice of [true, false])
      for (const ask of asks) if ((ask.message.type === "set_status") === choice) this.#send(ask);
  }

  /** The connection is lost. */
  lost() {
    for (const { message, timer } of [...this.#pending.values()]) {
      this.#clock.clearTimeout(timer);
      if (message.type === "renew" || message.type === "watch")
        this.#take(message.id)?.done(new PresenceError("unavailable", "Expected an answer, got a lost connection"));
    }
  }

  /** Forget them all: who still waits asks the next one, or knows that there is none. */
  end() {
    for (const id of [...this.#pending.keys()]) this.#take(id);
  }

  /**
   * @param {any} message `ack`, `error` or `explanation`
   * @returns {boolean} whether somebody waited for it
   */
  answered(message) {
    const ask = this.#pending.get(message.id);
    if (!ask) return false;
    this.#clock.clearTimeout(ask.timer);
    if (message.code === "rate_limited") {
      ask.timer = this.#clock.setTimeout(() => this.#send(ask), message.retry_ms * (1 + Math.random()));
      return true;
    }
    this.#take(message.id);
    ask.done(message.type === "error" ? new PresenceError(message.code, message.message) : null, message);
    return true;
  }

  /** @param {Ask} ask */
  #send(ask) {
    ask.sent = this.#connection.send(ask.message);
    if (ask.sent && ask.message.type === "set_status")
      ask.timer = this.#clock.setTimeout(() => this.#mayJudge() && this.#connection.restart(), ANSWER_MS);
  }

  /** @param {number} id */
  #take(id) {
    const ask = this.#pending.get(id);
    this.#clock.clearTimeout(ask?.timer);
    this.#pending.delete(id);
    return ask;
  }
}
