/** How long a run of the queue will still wait. */
import { describe, expect, it } from "vitest";
import type { Run } from "../src/server/types";
import { waitOf } from "../src/state/waiting";

const run = (run: number, more: Partial<Run>): Run =>
  ({ run, title: "a", status: "queued", position: 0, started: null, ended: null, ...more }) as Run;

const DONE = [
  run(1, { status: "done", started: 10, ended: 50 }),
  run(2, { status: "done", started: 100, ended: 120 }), // the newer says more
  run(3, { status: "stopped", started: 130, ended: 131 }),
];
const GOES = run(4, { status: "running", started: 200 });
const NEXT = run(5, { position: 1 });
const LAST = run(6, { position: 2 });
const ALL = [...DONE, GOES, NEXT, LAST];

describe("how long a run will wait", () => {
  it("is what is left of the one that runs, and what those ahead of it take", () => {
    expect(waitOf(NEXT, ALL, 205)).toBe(15);
    expect(waitOf(LAST, ALL, 205)).toBe(35);
  });
  it("is never less than nothing, and what is known better counts", () => {
    expect(waitOf(NEXT, ALL, 1000)).toBe(0);
    expect(waitOf(LAST, ALL, 205, 1, { run: 4, seconds: 7 })).toBe(27);
  });
  it("is shared by the devices that work at once", () => expect(waitOf(LAST, ALL, 205, 2)).toBe(17.5));
  it("is not known behind a run of which nothing is", () => {
    const stranger = run(7, { position: 1, title: "b" });
    expect(waitOf(LAST, [...DONE, GOES, stranger, LAST], 205)).toBeNull();
    expect(waitOf(LAST, [...DONE, GOES, stranger, LAST], 205, 1, { run: 4, seconds: 1 })).toBeNull();
  });
});
