import { describe, expect, it } from "vitest";
import type { Run } from "../src/server/types";
import { isOld } from "../src/state/runAge";

const run = (status: Run["status"]): Run => ({ run: 1, status }) as Run;

describe("an answer that was overtaken", () => {
  it("is old when the run is further, or over", () => {
    expect(isOld(run("running"), run("done"))).toBe(true);
    expect(isOld(run("queued"), run("running"))).toBe(true);
    expect(isOld(run("running"), run("stopping"))).toBe(true);
  });

  it("is news otherwise", () => {
    expect(isOld(run("queued"), undefined)).toBe(false);
    expect(isOld(run("running"), run("queued"))).toBe(false);
    expect(isOld(run("running"), run("running"))).toBe(false);
    expect(isOld(run("interrupted"), run("stopping"))).toBe(false);
    expect(isOld(run("failed"), run("interrupted"))).toBe(false);
  });
});
