import { describe, expect, it } from "vitest";
import type { RunEvent } from "../src/server/types";
import { beginView, follow, NO_RUN } from "../src/state/runView";

let n = 0;
const at = (time: number, event: object): RunEvent => ({ n: ++n, time, ...event }) as RunEvent;

describe("what a run's events say", () => {
  const planned = at(0, { event: "planned", run: "r", nodes: ["fit", "save"], cached: ["data"] });

  it("waiting, running with a rate, done", () => {
    let view = follow(beginView(1, NO_RUN), [planned]);
    expect([view.nodes.fit?.state, view.nodes.data?.state]).toEqual(["waiting", "cached"]);
    view = follow(view, [
      at(1, { event: "started", node: "fit" }),
      at(1, { event: "progress", node: "fit", done: 0, total: 10 }),
    ]);
    view = follow(view, [at(3, { event: "progress", node: "fit", done: 4, total: 10 })]);
    expect(view.nodes.fit).toMatchObject({ state: "running", done: 4, total: 10, rate: 2 });
    view = follow(view, [
      at(5, { event: "finished", node: "fit", seconds: 4 }),
      at(6, { event: "ended", status: "done", seconds: 6 }),
    ]);
    expect([view.nodes.fit?.state, view.nodes.save?.state, view.status]).toEqual(["done", null, "done"]);
  });

  it("curves grow; turns told again after a resume take the place of the old", () => {
    const metric = (turn: number, loss: number) =>
      at(turn, { event: "metric", node: "fit", values: { loss }, turn });
    let view = follow(beginView(1, NO_RUN), [metric(1, 5), metric(2, 4)]);
    const before = view.curves.fit?.loss;
    view = follow(view, [metric(2, 3), metric(3, 2)]);
    expect(view.curves.fit?.loss).toEqual({ turns: [1, 2, 3], values: [5, 3, 2] });
    expect(before?.turns).toEqual([1, 2]);
  });

  it("pictures of the run before stay, marked, until there are new ones", () => {
    const shown = (path: string) =>
      at(1, { event: "shown", node: "save", path, media: "image/png", preview: false });
    const first = follow(beginView(1, NO_RUN), [shown("a.png"), shown("b.png")]);
    let view = beginView(2, first);
    expect(view.nodes.save).toMatchObject({ stale: true, state: null });
    view = follow(view, [shown("c.png")]);
    expect(view.nodes.save?.files.map((file) => file.path)).toEqual(["c.png"]);
    expect(view.nodes.save?.stale).toBe(false);
  });

  it("what was asked for is told in a line for each output, and takes the place of what a run before told", () => {
    const value = (target: string, text: string) => at(1, { event: "value", target, text });
    const first = follow(beginView(1, NO_RUN), [value("fit.model", "a net"), value("fit.loss", "0.5")]);
    expect(first.nodes.fit?.text).toBe("model: a net\nloss: 0.5");
    const view = follow(beginView(2, first), [value("fit", "0.25")]);
    expect(view.nodes.fit).toMatchObject({ text: "0.25", stale: false });
  });

  it("a failure stays on its node after the end", () => {
    const view = follow(beginView(1, NO_RUN), [
      planned,
      at(1, { event: "failed", node: "fit", message: "shapes differ", traceback: "…" }),
      at(2, { event: "ended", status: "failed", seconds: 2 }),
    ]);
    expect(view.nodes.fit).toMatchObject({ state: "failed", message: "shapes differ" });
  });
});
