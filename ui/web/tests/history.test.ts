import { describe, expect, it } from "vitest";
import { begin, record, redo, undo } from "../src/state/history";

describe("undo", () => {
  it("goes back and forth over every step", () => {
    let history = begin("a");
    history = record(history, "b", "one", null, 0);
    history = record(history, "c", "two", null, 1);
    history = undo(history);
    expect(history.present).toBe("b");
    history = undo(history);
    expect(history.present).toBe("a");
    expect(undo(history)).toBe(history);
    history = redo(redo(history));
    expect(history.present).toBe("c");
    expect(redo(history)).toBe(history);
  });

  it("joins the steps of one gesture", () => {
    let history = begin(0);
    for (const [i, value] of [1, 2, 3].entries()) history = record(history, value, "drag", "scale", i * 100);
    expect(history.past).toHaveLength(1);
    expect(undo(history).present).toBe(0);
  });

  it("keeps gestures apart that are far apart, or of different things", () => {
    let history = record(begin(0), 1, "drag", "scale", 0);
    history = record(history, 2, "drag", "steps", 100);
    history = record(history, 3, "drag", "steps", 5000);
    expect(history.past).toHaveLength(3);
  });

  it("does not join across an undo, and forgets what was undone", () => {
    let history = record(begin(0), 1, "drag", "scale", 0);
    history = undo(history);
    history = record(history, 2, "drag", "scale", 10);
    expect(history.future).toEqual([]);
    expect(undo(history).present).toBe(0);
  });

  it("takes no step where nothing changes", () => {
    const history = begin("a");
    expect(record(history, "a", "nothing", null, 0)).toBe(history);
  });
});
