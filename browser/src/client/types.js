/**
 * The words of the client's API, as types.
 *
 * @typedef {"online" | "busy" | "offline"} Status
 */

/**
 * What teammates see of a user. The same object for as long as nothing about it changes.
 * @typedef {object} Presence
 * @property {Status} status
 * @property {number | null} since when it was committed: milliseconds since the Unix epoch by the server's clock, to be
 *   compared with `client.serverNow()`; null when not known
 * @property {string | null} reason why it changed, one of the contract's words; null when not known
 * @property {boolean} stale whether it may be out of date: the connection, or what is behind it, is away
 */

/**
 * The user himself in one team: what he chose, and what teammates see of that.
 * @typedef {object} Self
 * @property {string} user
 * @property {string} team
 * @property {"online" | "busy"} chosen the status he picked; teammates see it unless he is offline
 * @property {number} idleTimeoutMs without input for so long, he is shown offline
 * @property {readonly string[]} contacts his open ones, oldest first, where the team's contacts are assigned
 * @property {Status} status
 * @property {number | null} since
 * @property {string | null} reason
 * @property {boolean} stale
 */

/**
 * Why the user is shown as he is, over all his devices, and what happens next.
 * @typedef {object} Explanation
 * @property {string} team
 * @property {Status} status
 * @property {number | null} since
 * @property {string | null} reason
 * @property {"online" | "busy" | null} chosen
 * @property {number | null} lastActive when his latest input was, on any device
 * @property {number | null} connections how many are open
 * @property {string | null} nextChange the status that comes if nothing else happens
 * @property {number | null} nextChangeAt
 */

/**
 * `closed`: not wanted, or paused while the page is put away. `connecting`: until the server has answered. `open`.
 * `waiting`: for the next attempt, at `retryAt`. `parked`: given up for newer connections of this user, until somebody
 * looks at this page again. `stopped`: for good, until `connect()` is called.
 * @typedef {"closed" | "connecting" | "open" | "waiting" | "parked" | "stopped"} State
 */

/**
 * Why a client has stopped.
 * @typedef {"no_token" | "signed_out" | "token_refused" | "not_allowed" | "protocol_error" | "refused"} StopReason
 */

/**
 * What `on` tells, by type.
 * @typedef {object} Events
 * @property {Self} self the user's own choice or status in a team, or that team's idle timeout, has changed
 * @property {{live: boolean, team: string | null}} feed whether statuses are fresh: of that team, or of all for null
 * @property {{state: State, code: number | null, retryAt: number | null}} connection `code`: the close code it was lost
 *   with; `retryAt`: by the server's clock, as `serverNow()`
 * @property {{teams: readonly string[]}} teams the teams of this user, as soon as they are known and when they change
 * @property {{team: string, offlineAt: number | null}} warning he will be shown offline at that instant unless there is
 *   input; null: not any more. Not told while another of his devices is active
 * @property {{code: number | null, reason: StopReason, message: string}} signedout the client has stopped; `message` is
 *   for developers
 * @property {{error: import("./errors.js").PresenceError}} error something failed that nobody waits for; told once, not
 *   at every attempt
 */

/**
 * Asked for a token. `connect`: there is none yet; `renew`: the one in use expires soon; `refused`: the server did not
 * accept the last one, or it has expired. Null means that nobody is signed in. It may fail in any way: it is asked again.
 * @callback GetToken
 * @param {"connect" | "renew" | "refused"} why
 * @returns {Promise<string | null> | string | null}
 */

/**
 * Time, for tests.
 * @typedef {object} Clock
 * @property {() => number} now milliseconds that never go backwards and count the time a machine was asleep
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} Options
 * @property {GetToken} getToken
 * @property {string | URL} [url] of the WebSocket; `/v1/ws` of the page's own host when left out. It may be relative to
 *   the page, and http means ws
 * @property {string} [team] the one meant where none is named; the first of the token when left out
 * @property {"shared" | "each"} [tabs] `shared`, the default: all tabs of this browser with the same user and session
 *   share one socket. `each`: every tab has its own
 * @property {typeof WebSocket} [WebSocket] another implementation; means `each`
 * @property {Clock} [clock] another one; means `each`
 */

export {};
