/** What a sheet is from afar and near by: stages, entries, ways of wires, and room for what grows. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cardsOf } from "../src/document/cards";
import { entryName } from "../src/document/entries";
import { exposedIn, firstStage, stagesOf } from "../src/document/stages";
import { readable, uncut } from "../src/drawing/framing";
import { pushedOf, sizesOf } from "../src/drawing/geometry";
import { layOut } from "../src/drawing/layout";
import { covers, push, type Box } from "../src/drawing/pushing";
import { route } from "../src/drawing/routing";
import { edgesOf, nodesOf } from "../src/drawing/view";
import { docOf, KINDS, SAMPLING, TRAINING } from "./documents";
import { cases } from "./effort";

const some = fc
  .array(
    fc.record({
      at: fc.tuple(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 0, max: 900 })),
      size: fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 300 })),
    }),
    { maxLength: 14 },
  )
  .map((boxes) => boxes.map((box, i): Box => ({ id: `n${i}`, ...box })));

const isApart = (boxes: readonly Box[]): boolean =>
  boxes.every((a, i) => boxes.slice(i + 1).every((b) => !covers(a, b)));

describe("room for what grows", () => {
  it("nothing covers anything after any growth, and what is apart stays where it is", () => {
    fc.assert(
      fc.property(
        some,
        fc.array(fc.tuple(fc.nat(20), fc.nat(400), fc.nat(400)), { maxLength: 5 }),
        (boxes, growths) => {
          const before = push(boxes);
          expect(isApart(before)).toBe(true);
          expect(push(before)).toEqual(before);
          const grown = before.map((box, i) => {
            const [, w = 0, h = 0] = growths.find(([at]) => at === i) ?? [];
            return { ...box, size: [box.size[0] + w, box.size[1] + h] as const };
          });
          const after = push(grown);
          expect(isApart(after)).toBe(true);
          // Whoever moved would be covered where it was, by one that grew or by another that moved.
          after.forEach((box, i) => {
            const was = grown[i];
            if (was && was.at !== box.at)
              expect(after.some((other) => other.id !== was.id && covers(was, other))).toBe(true);
          });
        },
      ),
      { numRuns: cases(150, 5000) },
    );
  });

  it("a zone that grows with what it holds pushes what stands beside it", () => {
    const doc = docOf(SAMPLING);
    const cards = cardsOf(doc, KINDS, {});
    const auto = layOut(doc, cards, {});
    expect(pushedOf({ doc, cards, auto, measured: {} })).toEqual({});
    const sheet = { doc, cards, auto, measured: { guide: [224, 900], sample: [224, 1400] } as const };
    const pushed = pushedOf(sheet);
    const sizes = sizesOf({ ...sheet, pushed });
    const boxes = Object.values(cards)
      .filter(({ zone }) => zone === null)
      .map(({ id }): Box => ({
        id,
        at: pushed[id] ?? auto[id]?.at ?? [0, 0],
        size: sizes.get(id) ?? [0, 0],
      }));
    expect(isApart(boxes)).toBe(true);
  });
});

describe("ways of wires", () => {
  const wall: Box = { id: "wall", at: [100, -100], size: [80, 220] };

  it("a wire with nothing in its way is a plain curve", () => {
    expect(route([0, 0], [80, 0], [wall], [])).toBeNull();
    expect(route([0, 0], [300, 0], [wall], ["wall"])).toBeNull();
  });

  it("runs round what it does not touch, to and fro", () => {
    fc.assert(
      fc.property(some, ([...boxes]) => {
        const apart = push(boxes);
        const from = [-60, 450] as const;
        const to = [1900, 420] as const;
        const free = apart.filter(({ at }) => at[0] > 0);
        const way = route(from, to, free, []);
        if (way === null) return;
        expect(way.slice(0, 2)).toEqual(from);
        expect(way.slice(-2)).toEqual(to);
        for (let i = 0; i + 3 < way.length; i += 2) {
          const [x = 0, y = 0, toX = 0, toY = 0] = way.slice(i, i + 4);
          const line: Box = {
            id: "line",
            at: [Math.min(x, toX), Math.min(y, toY)],
            size: [Math.abs(toX - x), Math.abs(toY - y)],
          };
          for (const box of free) expect(covers(line, box), `${box.id} in ${way.join()}`).toBe(false);
        }
      }),
      { numRuns: cases(60, 2000) },
    );
  });

  it("goes round a wall", () => {
    const way = route([0, 0], [300, 0], [wall], []) ?? [];
    expect(way.length).toBeGreaterThan(8);
    expect(Math.min(...way.filter((_, i) => i % 2 === 1))).toBeLessThan(-100);
  });
});

describe("entries", () => {
  const doc = docOf(SAMPLING);
  const cards = cardsOf(doc, KINDS, {});

  it("are what a body reads from outside, once each", () => {
    expect(cards.sample?.entries.map((entry) => entryName(entry, 1))).toEqual(["unet"]);
    expect(cards.cond?.entries).toEqual([]);
    expect(cardsOf(doc, KINDS, cards).sample).toBe(cards.sample);
  });

  it("are passed by each wire on its way in", () => {
    const sheet = { doc, cards, auto: layOut(doc, cards, {}), measured: {} };
    const edges = edgesOf(sheet, []);
    const passes = (id: string) => edges.find((edge) => edge.id === id)?.data?.way?.passes ?? [];
    expect(passes("cond.model")).toHaveLength(1);
    expect(passes("uncond.model")).toEqual(passes("cond.model"));
    expect(passes("cond.z")).toEqual([]);
    const again = edgesOf(sheet, edges);
    again.forEach((edge, i) => expect(edge).toBe(edges[i]));
  });

  it("from afar a zone is all that is drawn of its inside, with one wire to each entry", () => {
    const sheet = { doc, cards, auto: layOut(doc, cards, {}), measured: {} };
    const hidden = nodesOf(sheet, [], true).filter((node) => node.hidden);
    expect(hidden.map((node) => node.id).sort()).toEqual(["cond", "guide", "uncond"]);
    const into = edgesOf(sheet, [], true).filter((edge) => edge.target === "sample");
    expect(into.map((edge) => edge.targetHandle).sort()).toEqual([
      "entry:unet out:unet",
      "noise",
      "schedule",
    ]);
  });
});

describe("stages", () => {
  it("are the zones of the top; the first has what leads to it", () => {
    const doc = docOf({ ...TRAINING, ...SAMPLING });
    expect(stagesOf(doc)).toEqual(["fit", "sample"]);
    expect(firstStage(doc).sort()).toEqual(["data", "fit", "unet0"]);
    expect(firstStage(docOf({ a: { type: "noise" }, b: { type: "count" } }))).toEqual(["a", "b"]);
  });

  it("show what the workflow exposes of them", () => {
    const doc = docOf(SAMPLING, { exposed: { params: { guidance: "guide.scale", seed: "noise.seed" } } });
    const fields = exposedIn(doc, cardsOf(doc, KINDS, {}), "sample");
    expect(fields.map(({ node, slot, name }) => [node, slot.handle, name])).toEqual([
      ["guide", "scale", "guidance"],
    ]);
  });

  it("are looked at whole where that can be read, and else from their beginning", () => {
    const pane = { width: 1000, height: 800 };
    const small = readable({ x: 0, y: 0, width: 500, height: 300 }, pane);
    expect(small.zoom).toBe(1);
    expect(small.x).toBe(250);
    const large = readable({ x: 100, y: 50, width: 4000, height: 900 }, pane);
    expect(large.zoom).toBeGreaterThanOrEqual(0.7);
    expect(large.x + 100 * large.zoom).toBe(40);
  });

  it("are looked at with what the upper or left edge would cut, as long as they are seen", () => {
    const pane = { width: 1000, height: 800 };
    const stage = { x: 0, y: 400, width: 4000, height: 2000 };
    const above = { x: 300, y: 0, width: 400, height: 380 };
    expect(readable(stage, pane).y).toBeLessThan(0); // it would cut what is above
    const view = uncut(stage, [stage, above], pane);
    expect(view.y).toBeGreaterThan(0);
    expect(stage.y * view.zoom + view.y).toBeLessThan(400);
    const far = { x: 300, y: -2000, width: 400, height: 2380 };
    expect(uncut(stage, [stage, far], pane)).toEqual(readable(stage, pane));
    const beside = { x: 5000, y: 0, width: 100, height: 100 };
    expect(uncut(stage, [stage, beside], pane)).toEqual(readable(stage, pane));
  });
});
