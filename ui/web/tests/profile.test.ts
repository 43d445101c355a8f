import { describe, expect, it } from "vitest";
import { spent } from "../src/drawing/format";
import type { NodeProfile, Profile } from "../src/server/types";
import { rowsOf, shareOf } from "../src/drawing/profile";

const node = (seconds: number, own: number, memory: number): NodeProfile => ({
  type: "x",
  calls: 1,
  seconds,
  own_seconds: own,
  device_seconds: null,
  memory,
});

const PROFILE: Profile = {
  seconds: 10,
  nodes: { train: node(8, 1, 100), unet: node(6, 6, 400), save: node(1, 1, 0) },
  memory_of: "",
  trace: "",
};

describe("what a run took", () => {
  it("is told with the most first, by each measure", () => {
    const order = (measure: "own" | "all" | "memory") => rowsOf(PROFILE, measure).map((row) => row.id);
    expect(order("own")[0]).toBe("unet");
    expect(order("all")).toEqual(["train", "unet", "save"]);
    expect(order("memory")).toEqual(["unet", "train", "save"]);
    expect(rowsOf(PROFILE, "own")[0]?.share).toBe(0.6);
    expect(rowsOf(PROFILE, "memory").map((row) => row.share)).toEqual([1, 0.25, 0]);
  });

  it("holds for a run of no time and no memory", () => {
    const none = { seconds: 0, nodes: { a: node(0, 0, 0) }, memory_of: "", trace: "" };
    for (const measure of ["own", "all", "memory"] as const) expect(rowsOf(none, measure)[0]?.share).toBe(0);
    expect(rowsOf({ ...none, nodes: {} }, "memory")).toEqual([]);
    expect(shareOf(none, "a")).toBeNull();
  });

  it("is a share of each node that it tells of, and of no other", () => {
    expect(shareOf(PROFILE, "train")).toBe(0.8);
    expect(shareOf(PROFILE, "elsewhere")).toBeNull();
    expect(shareOf(null, "train")).toBeNull();
  });

  it("is said in units that fit", () => {
    expect([0, 4.1e-5, 0.0032, 0.25, 75].map(spent)).toEqual(["0 s", "41 µs", "3.2 ms", "0.25 s", "1:15"]);
  });
});
