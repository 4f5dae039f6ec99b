/**
 * What a page has asked the hub and not been answered yet.
 */

import { PresenceError } from "./errors.js";

const ANSWER_MS = 20_000;

/** @typedef {{message: any, resolve: (answer: any) => void, reject: (error: Error) => void, timer: any}} Question */

export class Questions {
  /** @type {Map<number, Question>} */
  #open = new Map();
  #lastId = 0;
  #clock;

  /** @param {import("./types.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * @param {string} type
   * @param {object} fields
   * @param {(message: object) => void} post
   * @returns {Promise<any>}
   */
  ask(type, fields, post) {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const late = new PresenceError("unavailable", `Expected an answer within ${ANSWER_MS} ms, got none`);
      const timer = this.#clock.setTimeout(() => this.#take(id)?.reject(late), ANSWER_MS);
      const message = { t: "ask", id, type, fields };
      this.#open.set(id, { message, resolve, reject, timer });
      post(message);
    });
  }

  /** @param {any} message `answer` */
  answered({ id, error, answer }) {
    const question = this.#take(id);
    if (error) question?.reject(new PresenceError(error.code, error.message));
    else question?.resolve(question.message.type === "explain" ? explanation(answer) : undefined);
  }

  /** @returns {any[]} messages that another hub has not heard */
  open() {
    return [...this.#open.values()].map(({ message }) => message);
  }

  /** @param {Error} error */
  rejectAll(error) {
    for (const id of [...this.#open.keys()]) this.#take(id)?.reject(error);
  }

  /** @param {number} id */
  #take(id) {
    const question = this.#open.get(id);
    this.#open.delete(id);
    this.#clock.clearTimeout(question?.timer);
    return question;
  }
}

/** @param {any} answer @returns {import("./types.js").Explanation} */
function explanation({ team, status, since, reason, chosen, last_active, connections, next_change, next_change_at }) {
  const [lastActive, nextChange, nextChangeAt] = [last_active, next_change, next_change_at];
  return { team, status, since, reason, chosen, lastActive, connections, nextChange, nextChangeAt };
}
