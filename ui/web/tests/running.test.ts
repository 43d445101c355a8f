// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { toWorkflow } from "../src/document/codec";
import { afterRun, setSeeding } from "../src/document/seeds";
import { outermost } from "../src/document/document";
import { list, range, sweep } from "../src/document/sweep";
import { Kinds } from "../src/document/types";
import { askedInWords, asked, askPlainly, setOption, useAsking } from "../src/state/runOptions";
import { beginView, follow, NO_RUN } from "../src/state/runView";
import { shareOf, weightsOf } from "../src/state/share";
import type { Estimate, RunEvent } from "../src/server/types";
import { CATALOG, node, port } from "./catalog";
import { docOf } from "./documents";

const picture = (name = "images") => port(name, "image");
const KINDS = new Kinds({
  ...CATALOG,
  nodes: {
    ...CATALOG.nodes,
    paint: node(
      "paint",
      [port("scale", "float", { schema: {} }), port("latent", "latent")],
      [port("value", "image")],
    ),
    blur: node("blur", [picture()], [port("value", "image")]),
    labelled_grid: node(
      "labelled_grid",
      [port("images", "image", { list: 1, either: true }), port("columns", "any", { list: 1, schema: {} })],
      [port("value", "image")],
    ),
    measure: node(
      "measure",
      [picture()],
      [port("score", "scalar"), port("deviation", "scalar"), port("table", "table")],
    ),
    table: node("table", [port("columns", "any", { named: true })], [port("value", "table")]),
    save_table: node("save_table", [port("table", "table")], []),
    preview_image: node("preview_image", [picture()], []),
  },
});

const painted = docOf(
  {
    apart: { type: "blur" },
    painted: { type: "paint", params: { scale: 3 } },
    blurred: { type: "blur", wires: { images: "painted" } },
    shown: { type: "preview_image", wires: { images: "blurred" } },
  },
  {
    exposed: { outputs: { picture: "blurred", other: "apart" } },
    layout: { painted: { at: [100, 50] }, blurred: { at: [400, 90] }, shown: { at: [700, 50] } },
  },
);

describe("a sweep", () => {
  it("is a zone round what depends on the parameter, and ends in a grid that takes its labels from it", () => {
    const swept = sweep(painted, KINDS, "painted", "scale", [1, 2.5]);
    if (!swept) throw new Error();
    const { nodes, exposed } = toWorkflow(swept.doc) as {
      nodes: Record<string, Record<string, never>>;
      exposed: object;
    };
    expect(Object.keys(nodes)).toEqual(["apart", "sweep", "labelled_grid", "preview_image"]);
    expect(nodes.sweep).toEqual({
      type: "for_each",
      params: { over: { scale: [1, 2.5] } },
      body: {
        nodes: {
          painted: { type: "paint", wires: { scale: "sweep.item.scale" } },
          blurred: { type: "blur", wires: { images: "painted" } },
          shown: { type: "preview_image", wires: { images: "blurred" } },
        },
        results: { scale: "sweep.item.scale", image: "blurred" },
      },
    });
    expect(nodes.labelled_grid).toEqual({
      type: "labelled_grid",
      params: { column_name: "scale" },
      wires: { images: "sweep.image", columns: "sweep.scale" },
    });
    expect(nodes.preview_image).toEqual({ type: "preview_image", wires: { images: "labelled_grid" } });
    expect(exposed).toEqual({ outputs: { other: "apart" } });
    expect(KINDS.misfits(swept.doc)).toEqual([]);
  });

  it("ends in a table too where numbers come out, with a row for each value", () => {
    const measured = docOf({
      painted: { type: "paint", params: { scale: 3 } },
      quality: { type: "measure", wires: { images: "painted" } },
    });
    const swept = sweep(measured, KINDS, "painted", "scale", [1, 2]);
    if (!swept) throw new Error();
    expect([swept.grid, swept.table]).toEqual([true, true]);
    expect(swept.doc.nodes.sweep?.results).toEqual({
      scale: "sweep.item.scale",
      image: "painted",
      quality_score: "quality.score",
      quality_deviation: "quality.deviation",
    });
    expect(swept.doc.nodes.table?.wires).toEqual({
      columns: {
        scale: "sweep.scale",
        quality_score: "sweep.quality_score",
        quality_deviation: "sweep.quality_deviation",
      },
    });
    expect(swept.doc.nodes.save_table).toMatchObject({
      params: { name: "sweep-scale" },
      wires: { table: "table" },
    });
    expect(KINDS.misfits(swept.doc)).toEqual([]);
    const lists = sweep(measured, KINDS, "painted", "scale", [[1], [2]]);
    const named = lists?.doc.nodes.table?.wires.columns ?? {};
    expect(Object.keys(named)).toEqual(["quality_score", "quality_deviation"]);
  });

  it("takes nothing from what is muted, for it gives nothing", () => {
    const muted = docOf({
      painted: { type: "paint", params: { scale: 3 } },
      blurred: { type: "blur", mode: "mute", wires: { images: "painted" } },
      quality: { type: "measure", mode: "mute", wires: { images: "painted" } },
    });
    const swept = sweep(muted, KINDS, "painted", "scale", [1, 2]);
    expect(swept?.doc.nodes.sweep?.results).toEqual({ scale: "sweep.item.scale", image: "painted" });
    expect(swept?.table).toBe(false);
  });

  it("keeps what it moves where it was in respect of each other", () => {
    const { places } = sweep(painted, KINDS, "painted", "scale", [1])?.doc ?? painted;
    const [a, b] = [places.painted?.at ?? [0, 0], places.blurred?.at ?? [0, 0]];
    expect([b[0] - a[0], b[1] - a[1]]).toEqual([300, 40]);
  });

  it("goes round the zone at the top that a node is drawn in", () => {
    const inner = docOf({
      z: { type: "for_each", body: { nodes: { p: { type: "paint", params: { scale: 1 } } } } },
    });
    expect(outermost(inner, "p")).toBe("z");
    const swept = sweep(inner, KINDS, "p", "scale", [1, 2]);
    expect(swept?.grid).toBe(false);
    expect(swept?.doc.nodes.z?.zone).toBe("sweep");
    expect(swept?.doc.nodes.p).toMatchObject({ zone: "z", wires: { scale: "sweep.item.scale" }, params: {} });
  });

  it("takes a range, and a list", () => {
    expect(range(0, 1, 3, false)).toEqual([0, 0.5, 1]);
    expect(range(1, 3, 5, true)).toEqual([1, 2, 3]);
    expect(range(5, 1, 3, true)).toEqual([5, 3, 1]);
    expect(list("1, 2.5,-3e2", true)).toEqual([1, 2.5, -300]);
    expect(list("a cat, a dog", false)).toEqual(["a cat", "a dog"]);
    expect(list("[[1, 2], [3]]", false)).toEqual([[1, 2], [3]]);
    expect(() => list("1, two", true)).toThrow('"two" is no number');
  });
});

describe("seeds after a run", () => {
  it("stay, count on, or are drawn anew, and a wired one is left alone", () => {
    const seeded = docOf(
      Object.fromEntries(["a", "b", "c"].map((id) => [id, { type: "paint", params: { seed: 7 } }])),
    );
    let doc = setSeeding(seeded, "a", "seed", "next");
    doc = setSeeding(doc, "b", "seed", "random");
    const after = afterRun(doc);
    expect(after.nodes.a?.params.seed).toBe(8);
    expect(after.nodes.b?.params.seed).not.toBe(7);
    expect(after.nodes.c).toBe(doc.nodes.c);
    expect(setSeeding(doc, "a", "seed", undefined).places.a?.after).toBeUndefined();
    expect(afterRun(seeded)).toBe(seeded);
  });
});

describe("the share of a run", () => {
  const event = (kind: string, fields: object): RunEvent =>
    ({ n: 1, time: 100, event: kind, ...fields }) as RunEvent;
  const going = follow(beginView(1, NO_RUN), [
    event("planned", { run: "r", nodes: ["a", "b"], cached: [] }),
    event("started", { node: "a" }),
    event("progress", { node: "a", done: 1, total: 10 }),
    event("progress", { node: "a", done: 2, total: 10, time: 101 }),
  ]);

  it("is by weight, and what is left follows from the loop that turns", () => {
    expect(shareOf(going, { a: 3, b: 1 }, 102)?.done).toBeCloseTo(0.75 * 0.2);
    // 8 of 10 turns at one a second, and then a third of what the whole loop takes.
    expect(shareOf(going, { a: 3, b: 1 }, 102)?.left).toBeCloseTo(8 + 10 / 3);
    expect(shareOf(going, {}, 102)).toEqual({ done: 0.1, left: 8 });
  });

  it("is of nothing before a run begins and after it is over", () => {
    expect(shareOf(NO_RUN, {}, 0)).toBeNull();
    expect(shareOf(follow(going, [event("ended", { status: "done", seconds: 1 })]), {}, 0)).toBeNull();
  });

  it("weighs a zone with all that is inside of it", () => {
    const nodes = { z: { type: "for_each", body: { nodes: { p: { type: "paint" } } } } };
    const estimate = { nodes: { z: { flops: 1 }, p: { flops: 5 } } } as unknown as Estimate;
    expect(weightsOf(docOf(nodes), estimate)).toEqual({ z: 6 });
  });
});

describe("what is asked for a run", () => {
  it("is told in words, counts the seed on, and can be taken back", () => {
    setOption("channels_last", true);
    useAsking.setState({ seed: 5, times: 3, notify: true });
    expect(askedInWords(useAsking.getState())).toEqual(["channels last true", "seed 5", "3 times"]);
    expect(asked(2)).toEqual({ options: { channels_last: true }, fresh: false, seed: 7 });
    setOption("channels_last", undefined);
    expect(useAsking.getState().options).toEqual({});
    askPlainly();
    expect(useAsking.getState()).toMatchObject({ seed: 0, times: 1, notify: true });
  });
});
