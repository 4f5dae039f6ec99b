/** What the server delivers as `/static/presence.js`: the client and the elements in one file. */

export * from "./client.js";
export * from "./elements/index.js";
