/**
 * What has been asked of the server and not been answered yet.
 */

/** An answer `error` of the server, or the client's own reason why there is no answer. */
export class PresenceError extends Error {
  /**
   * @param {string} code a wire code of the contract
   * @param {string} message
   * @param {number | null} [retryMs] with `rate_limited`: when to try again
   */
  constructor(code, message, retryMs = null) {
    super(message);
    this.name = "PresenceError";
    this.code = code;
    this.retryMs = retryMs;
  }
}

/**
 * @typedef {object} Request
 * @property {Record<string, unknown> & {id: number, type: string}} message
 * @property {number} sends how often it went out
 * @property {() => void} resolve
 * @property {(error: PresenceError) => void} reject
 */

/**
 * Requests by id, each answered once: by `ack`, by `error`, by running out of time, or because the client stopped.
 * They outlive a connection; a choice that was sent and not answered is restated once.
 */
export class Requests {
  /** @type {Map<number, Request>} */
  #pending = new Map();
  #lastId = 0;
  #timeoutMs;

  /** @param {number} timeoutMs how long a request may stay unanswered */
  constructor(timeoutMs) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param {string} type of the message
   * @param {Record<string, unknown>} fields of the message, but its id
   * @returns {{request: Request, answered: Promise<void>}}
   */
  add(type, fields) {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = withResolvers();
    const late = new PresenceError("unavailable", `Expected an answer within ${this.#timeoutMs} ms, got none`);
    const timer = setTimeout(() => this.reject(id, late), this.#timeoutMs);
    const settle = () => {
      clearTimeout(timer);
      this.#pending.delete(id);
    };
    const request = {
      message: { type, id, ...fields },
      sends: 0,
      resolve: () => (settle(), resolve()),
      /** @param {PresenceError} error */
      reject: (error) => (settle(), reject(error)),
    };
    this.#pending.set(id, request);
    return { request, answered: promise };
  }

  /** @param {number} id */
  resolve(id) {
    this.#pending.get(id)?.resolve();
  }

  /**
   * @param {number} id
   * @param {PresenceError} error
   * @returns {boolean} whether such a request was pending
   */
  reject(id, error) {
    const request = this.#pending.get(id);
    request?.reject(error);
    return request !== undefined;
  }

  /** Requests of this type have been answered in another way. @param {string} type */
  resolveAll(type) {
    for (const request of this.pending()) if (request.message.type === type) request.resolve();
  }

  /** Requests of this type mean nothing to the next connection. @param {string} type */
  abandon(type) {
    const error = new PresenceError("unavailable", "Expected an answer, got a lost connection");
    for (const request of this.pending()) if (request.message.type === type) request.reject(error);
  }

  /** @param {PresenceError} error */
  rejectAll(error) {
    for (const request of this.pending()) request.reject(error);
  }

  /** @returns {Request[]} oldest first */
  pending() {
    return [...this.#pending.values()];
  }
}

/** @returns {{promise: Promise<void>, resolve: () => void, reject: (error: PresenceError) => void}} */
function withResolvers() {
  /** @type {() => void} */
  let resolve = () => {};
  /** @type {(error: PresenceError) => void} */
  let reject = () => {};
  /** @type {Promise<void>} */
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
