/**
 * The token in use: asked for when needed, renewed before it expires.
 */

import { readToken, renewDelayMs } from "./presence-policy.js";

const SHORTEST_RENEWAL_MS = 1_000;

/**
 * Asked for a token. `connect`: there is none yet; `renew`: the one in use expires soon; `refused`: the server did not
 * accept the last one, or it has expired. Null means that nobody is signed in.
 * @callback GetToken
 * @param {"connect" | "renew" | "refused"} why
 * @returns {Promise<string | null> | string | null}
 */

export class Tokens {
  #getToken;
  #renew;
  #onError;
  /** @type {string | null} */
  #token = null;
  /** @type {number | null} */
  #serverAheadMs = null;
  #expiresAtMs = Infinity;
  #lifetimeMs = 0;
  #run = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** Whether the last token was refused and no connection has been welcomed since. */
  refused = false;

  /**
   * @param {GetToken} getToken
   * @param {(token: string) => Promise<void>} renew hands a new token to the server
   * @param {(error: unknown) => void} onError a renewal failed, and will be tried again
   */
  constructor(getToken, renew, onError) {
    this.#getToken = getToken;
    this.#renew = renew;
    this.#onError = onError;
  }

  /** @returns {Promise<string | null>} the token for a hello, or null when nobody is signed in */
  async current() {
    if (this.#serverNow() >= this.#expiresAtMs) this.#token = null;
    this.#token ??= (await this.#getToken(this.refused ? "refused" : "connect")) || null;
    return this.#token;
  }

  /** The server refused the token, or it has expired. */
  discard() {
    this.#token = null;
    this.#expiresAtMs = Infinity;
    this.refused = true;
  }

  /**
   * The token was accepted.
   * @param {number} serverTimeMs
   * @param {number} expiresAtMs by the server's clock
   */
  accepted(serverTimeMs, expiresAtMs) {
    this.refused = false;
    this.#serverAheadMs = serverTimeMs - Date.now();
    this.#expiresAtMs = expiresAtMs;
    this.#lifetimeMs = expiresAtMs - serverTimeMs;
    this.#schedule();
  }

  /** No connection, no renewal. */
  pause() {
    this.#run++;
    clearTimeout(this.#timer);
  }

  #schedule() {
    const delayMs = renewDelayMs(this.#expiresAtMs - this.#serverNow(), Math.random());
    const run = ++this.#run;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#renewNow(run), Math.max(SHORTEST_RENEWAL_MS, delayMs));
  }

  /** @param {number} run */
  async #renewNow(run) {
    try {
      const token = await this.#getToken("renew");
      if (run !== this.#run) return;
      if (token) {
        await this.#renew(token);
        this.#token = token;
        this.#expiresAtMs = readToken(token).expiresAtMs ?? this.#serverNow() + this.#lifetimeMs;
      }
    } catch (error) {
      this.#onError(error);
    }
    // Also after a failure: the old token stays, and some of its time is left to try again.
    if (run === this.#run) this.#schedule();
  }

  #serverNow() {
    return Date.now() + (this.#serverAheadMs ?? 0);
  }
}
