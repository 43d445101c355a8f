/** The layered layout: ELK itself, in this process. */
import ELK from "elkjs/lib/elk.bundled.js";
import { describe, expect, it } from "vitest";
import { cardsOf } from "../src/document/cards";
import type { Doc } from "../src/document/document";
import { absolute, sizesOf, type Point } from "../src/drawing/geometry";
import { bandsOf, layeredPlaces } from "../src/drawing/layered";
import { isLong } from "../src/drawing/wires";
import { docOf, KINDS, SAMPLING, TRAINING } from "./documents";

const elk = new ELK();

async function laidOut(doc: Doc) {
  const cards = cardsOf(doc, KINDS, {});
  const auto = await layeredPlaces({ doc, cards, measured: {} }, (graph) => elk.layout(graph));
  const sheet = { doc, cards, auto, measured: {} };
  return { sheet, sizes: sizesOf(sheet), x: (id: string) => absolute(sheet, id)[0] };
}

describe("the layered layout", () => {
  it("puts readers to the right of what they read, within zones too", async () => {
    const { x } = await laidOut(docOf(SAMPLING));
    expect(x("noise")).toBeLessThan(x("sample"));
    expect(x("sample")).toBeLessThan(x("decoded"));
    expect(x("cond")).toBeLessThan(x("guide"));
  });

  it("lets nothing overlap", async () => {
    for (const doc of [docOf(SAMPLING), docOf(TRAINING), docOf({ ...SAMPLING, ...TRAINING })]) {
      const { sheet, sizes } = await laidOut(doc);
      const boxes = Object.values(doc.nodes).map(({ id, zone }) => {
        const [w, h] = sizes.get(id) ?? [0, 0];
        const [left, top] = absolute(sheet, id);
        return { id, zone, left, top, right: left + w, bottom: top + h };
      });
      for (const a of boxes)
        for (const b of boxes)
          if (a.id < b.id && a.zone === b.zone)
            expect(
              a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top,
              `${a.id} and ${b.id}`,
            ).toBe(true);
    }
  });

  it("makes a band of each stage: a zone, what it is given, and what is made of its results", () => {
    const zone = (reads: string) => ({ type: "sample", wires: { noise: reads }, body: { nodes: {} } });
    const nodes = {
      noise: { type: "noise" },
      first: zone("noise"),
      between: { type: "decode", wires: { z: "first" } },
      second: zone("between"),
      picture: { type: "decode", wires: { z: "second" } },
    };
    const doc = docOf(nodes);
    const sheet = { doc, cards: cardsOf(doc, KINDS, {}), measured: {} };
    expect(bandsOf(sheet, Object.keys(nodes))).toEqual([
      ["noise", "first"],
      ["between", "second", "picture"],
    ]);
  });
});

it("a wire that runs back or right across the sheet is not drawn whole", () => {
  const at = (x: number, y: number): Point => [x, y];
  expect(isLong(at(0, 0), at(300, 200))).toBe(false);
  expect(isLong(at(0, 0), at(-60, 40))).toBe(false);
  expect(isLong(at(3000, 0), at(0, 900))).toBe(true);
  expect(isLong(at(0, 0), at(2000, 0))).toBe(true);
});
