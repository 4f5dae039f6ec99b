import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs, createClock, HeartbeatSchedule, renewDelayMs } from "../src/client/time.js";

test("a clock counts the time that a machine was asleep, and not that its clock was set", () => {
  let [wall, steady] = [1_000_000, 0];
  const now = createClock(
    () => wall,
    () => steady,
  );
  const pass = (wallMs, steadyMs) => {
    wall += wallMs;
    steady += steadyMs;
    return now();
  };
  assert.equal(pass(500, 500), 500);
  assert.equal(pass(7_200_000, 10), 7_200_500, "asleep for two hours");
  assert.equal(pass(-3_600_000, 100), 7_200_600, "set back by an hour");
  assert.equal(pass(900, 100), 7_200_700, "adjusted a little");
});

test("the wait before an attempt is random, doubles, and has a limit", () => {
  assert.equal(backoffMs(0, 0), 0);
  assert.deepEqual(
    [0, 1, 2, 4, 5, 50].map((attempt) => backoffMs(attempt, 0.999)),
    [999, 1_998, 3_996, 15_984, 29_970, 29_970],
  );
});

test("a token is renewed when most of its time is over, never at once and again", () => {
  assert.equal(renewDelayMs(3_600_000, 0), 2_700_000);
  assert.equal(renewDelayMs(3_600_000, 0.999), 3_059_640);
  assert.equal(renewDelayMs(-5, 0.5), 1_000);
});

test("heartbeats: every interval without input, a third of the timeout with it, at once after a pause", () => {
  const schedule = new HeartbeatSchedule(0);
  schedule.heartbeatMs = 25_000;
  schedule.idleTimeoutMs = 30_000;
  assert.equal(schedule.beat(0), 0);
  assert.equal(schedule.dueAt, 25_000);
  schedule.input(4_000);
  assert.equal(schedule.dueAt, 10_000);
  assert.equal(schedule.beat(10_000), 6_000);
  assert.equal(schedule.dueAt, 35_000);
  schedule.input(14_001);
  assert.equal(schedule.dueAt, 10_000, "after a pause of a third of the timeout");
  schedule.beat(14_001);
  schedule.input(12_000);
  assert.equal(schedule.lastInput, 14_001, "older news changes nothing");
});
