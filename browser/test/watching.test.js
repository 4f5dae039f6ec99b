import assert from "node:assert/strict";
import { test } from "node:test";
import { noteRecent, planWatch } from "../src/client/watching.js";

const none = new Set();
const wanted = new Set(["juan", "ana"]);
const many = new Set(Array.from({ length: 1_001 }, (_, at) => `user-${at}`));

test("a small team is followed whole", () => {
  assert.equal(planWatch(false, wanted, none, null), null);
  assert.equal(planWatch(false, wanted, none, ["juan"]), "all");
});

test("a large one is watched by list, as soon as that is known", () => {
  assert.deepEqual(planWatch(true, wanted, none, null), ["juan", "ana"]);
  assert.deepEqual(planWatch(true, none, none, null), []);
});

test("only who is missing is a reason to tell another list", () => {
  assert.equal(planWatch(true, wanted, none, ["ana", "juan", "kim"]), null);
  assert.deepEqual(planWatch(true, wanted, none, ["ana"]), ["juan", "ana"]);
});

test("who was there lately stays on the list, the newest first, as far as there is room", () => {
  const recent = new Set(Array.from({ length: 1_000 }, (_, at) => `old-${at}`));
  const list = planWatch(true, wanted, recent, null);
  assert.equal(list.length, 1_000);
  assert.deepEqual(list.slice(0, 3), ["juan", "ana", "old-999"]);
  assert.ok(!list.includes("old-1"));
});

test("whoever wants the team as a whole, or more than a list holds, is told of everybody", () => {
  assert.equal(planWatch(true, new Set([null, "juan"]), none, ["juan"]), "all");
  assert.equal(planWatch(true, many, none, ["juan"]), "all");
  assert.equal(planWatch(true, many, none, null), null);
});

test("of those who were there, a thousand are remembered", () => {
  const recent = new Set();
  for (const user of many) noteRecent(recent, user);
  noteRecent(recent, "user-1");
  assert.equal(recent.size, 1_000);
  assert.deepEqual([...recent].slice(-2), ["user-1000", "user-1"]);
  assert.ok(!recent.has("user-0"));
});
