import assert from "node:assert/strict";
import { test } from "node:test";
import { afterClose, stopped } from "../src/client/closing.js";
import { readToken } from "../src/client/tokens.js";

const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;

test("only what has the form of a token is one", () => {
  for (const wrong of ["", "a", "a.b", "a.b.c.d", "a.b.c", "<html>", "a b.c.d", "e30.W10", null, undefined, 7, {}])
    assert.equal(readToken(wrong), null, String(wrong));
  assert.equal(readToken(token({ sub: "maria", teams: ["b"], exp: 5 })).expiresAt, 5_000);
});

test("who may share a connection: one user, session and set of teams, in whatever order", () => {
  const key = (claims) => readToken(token({ sub: "maria", sid: "s1", teams: ["a", "b"], ...claims })).key;
  assert.equal(key({}), key({ teams: ["b", "a"], exp: 9 }));
  for (const other of [{ sub: "juan" }, { sid: "s2" }, { sid: undefined }, { teams: ["a"] }])
    assert.notEqual(key({}), key(other));
});

test("after which close it comes back", () => {
  for (const code of [1000, 1006, 1011, 1012, 1013, 4001, 4002, 4003, 4004, 4005, 4504])
    assert.ok(afterClose(code, false).retry, code);
  for (const code of [4500, 4503, 4505, 4506, 4999]) assert.ok(!afterClose(code, false).retry, code);
  assert.deepEqual(afterClose(4501, false), { retry: true, newToken: true, quick: true });
  assert.deepEqual(afterClose(4501, true), { retry: false });
  assert.ok(afterClose(4004, false).newToken);
  assert.ok(afterClose(4504, false).park);
});

test("the end names the setting to look at, and what the server said", () => {
  const { reason, message } = stopped(4503, "Origin not allowed");
  assert.equal(reason, "not_allowed");
  assert.match(message, /PRESENCE_ALLOWED_ORIGINS.*\(4503: Origin not allowed\)$/);
  assert.equal(stopped(4507, "").reason, "refused");
  assert.equal(stopped(null, "").reason, "no_token");
});
