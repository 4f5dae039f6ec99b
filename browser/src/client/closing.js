/**
 * What to do after a close (contract, "Close codes"), and what to tell the developer when it is the end.
 */

/**
 * @typedef {import("./types.js").StopReason} StopReason
 * @typedef {{retry: boolean, newToken?: boolean, quick?: boolean, park?: boolean}} Decision
 */

/** @type {Map<number | null, [StopReason, string]>} */
const STOPS = new Map([
  [null, ["no_token", "getToken brought null: nobody is signed in"]],
  [
    4501,
    [
      "token_refused",
      "the server refused the token, and another one too. Look at PRESENCE_JWT_SECRET or PRESENCE_JWKS_URL, PRESENCE_JWT_AUDIENCE and PRESENCE_JWT_ISSUER",
    ],
  ],
  [
    4503,
    [
      "not_allowed",
      "the server does not allow this page, or the token names no team. Look at PRESENCE_ALLOWED_ORIGINS and at the token's 'teams'",
    ],
  ],
  [4505, ["protocol_error", "the server did not understand this client. Are both of the same version?"]],
  [4506, ["signed_out", "the session has signed out"]],
]);

/**
 * Retry after every close but 4500 to 4999; a refused token is asked for once more; who had to give way to newer
 * connections of this user waits until somebody looks at him.
 *
 * @param {number} code
 * @param {boolean} refusedBefore whether the token had been asked for because of an earlier refusal
 * @returns {Decision}
 */
export function afterClose(code, refusedBefore) {
  if (code === 4501) return refusedBefore ? { retry: false } : { retry: true, newToken: true, quick: true };
  if (code === 4504) return { retry: true, park: true };
  if (code >= 4500 && code <= 4999) return { retry: false };
  if (code === 4004) return { retry: true, newToken: true, quick: !refusedBefore };
  return { retry: true, quick: code === 4001 };
}

/**
 * @param {number | null} code
 * @param {string} said the server's close reason
 * @returns {{code: number | null, reason: StopReason, message: string}}
 */
export function stopped(code, said) {
  const [reason, message] = STOPS.get(code) ?? ["refused", `the server closed with ${code}`];
  return { code, reason, message: `Presence has stopped: ${message}${said && ` (${code}: ${said})`}` };
}
