/**
 * `presence-client/testing`: presence without a server, for unit tests. Not here yet.
 */
export {};
