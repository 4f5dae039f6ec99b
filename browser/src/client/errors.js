/** An answer `error` of the server, or the client's own reason why there is no answer. */
export class PresenceError extends Error {
  /**
   * @param {string} code a wire code of the contract, or `bad_token` and `unavailable` where the host or the network failed
   * @param {string} message for developers
   */
  constructor(code, message) {
    super(message);
    this.name = "PresenceError";
    this.code = code;
  }
}
