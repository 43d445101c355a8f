import { describe, expect, it } from "vitest";
import { spread } from "../src/drawing/layout";
import { layOut } from "../src/drawing/layout";
import { linesOf } from "../src/drawing/geometry";
import { cardsOf } from "../src/document/cards";
import { smooth } from "../src/drawing/curves";
import { search } from "../src/panels/search";
import { blocks } from "../src/panels/Prose";
import { readList } from "../src/widgets/Text";
import { weightOf } from "../src/drawing/telling";
import { CATALOG, wire } from "./catalog";
import { docOf, KINDS, SAMPLING } from "./documents";

describe("fields", () => {
  it("lists are read as people write them", () => {
    expect(readList("1, 2 4", "integer")).toEqual([1, 2, 4]);
    expect(readList("[1,2]", "integer")).toEqual([1, 2]);
    expect(readList("1, x", "number")).toBeNull();
    expect(readList("red circle, blue", "string")).toEqual(["red circle", "blue"]);
    expect(readList('"a, b", "c"', "string")).toEqual(["a, b", "c"]);
  });
});

describe("layout", () => {
  it("spreads what would overlap as little as can be", () => {
    expect(spread([0, 0], [10, 10])).toEqual([-5, 5]);
    expect(spread([0, 100], [10, 10])).toEqual([0, 100]);
    expect(spread([60, 0, 0], [10, 10, 10])).toEqual([10, 20, 30]);
  });

  it("puts readers to the right of what they read, without overlap", () => {
    const doc = docOf(SAMPLING);
    const cards = cardsOf(doc, KINDS, {});
    const places = layOut(doc, cards, {});
    const x = (id: string) => places[id]?.at[0] ?? NaN;
    expect(x("noise")).toBeLessThan(x("sample"));
    expect(x("sample")).toBeLessThan(x("decoded"));
    expect(x("cond")).toBe(x("uncond"));
    expect(x("cond")).toBeLessThan(x("guide"));
  });

  it("keeps the cards that a change does not touch", () => {
    const doc = docOf(SAMPLING);
    const cards = cardsOf(doc, KINDS, {});
    const guide = doc.nodes.guide;
    if (!guide) throw new Error();
    const next = { ...doc, nodes: { ...doc.nodes, guide: { ...guide, params: { scale: 4 } } } };
    const after = cardsOf(next, KINDS, cards);
    expect(after.cond).toBe(cards.cond);
    expect(after.guide).not.toBe(cards.guide);
  });

  it("pairs ports and gives each parameter a line", () => {
    const doc = docOf(SAMPLING);
    const { guide } = cardsOf(doc, KINDS, {});
    const lines = linesOf(guide?.inputs ?? [], guide?.outputs ?? []);
    expect(lines.map((line) => [line.left?.handle, line.right?.handle, line.widget])).toEqual([
      ["cond", "out:prediction", false],
      ["uncond", undefined, false],
      ["scale", undefined, true],
    ]);
  });
});

describe("sizes", () => {
  const linesFor = (nodes: object) => {
    const doc = docOf(nodes);
    const { p } = cardsOf(doc, KINDS, {});
    return linesOf(p?.inputs ?? [], []).map((line) => [line.left?.handle, line.second?.handle]);
  };

  it("width and height share a line, until one of them is wired", () => {
    expect(linesFor({ p: { type: "picture" } })).toEqual([
      ["width", "height"],
      ["fit", undefined],
    ]);
    expect(linesFor({ c: { type: "count" }, p: { type: "picture", wires: { width: "c" } } })).toEqual([
      ["width", undefined],
      ["height", undefined],
      ["fit", undefined],
    ]);
  });
});

describe("finding and reading", () => {
  it("finds by name first, every word somewhere", () => {
    const specs = Object.values(CATALOG.nodes);
    expect(search(specs, "deno")[0]?.spec.type).toBe("denoise");
    expect(search(specs, "side by")[0]?.spec.type).toBe("side_by_side");
    expect(search(specs, "posterior").map((found) => found.spec.type)).toContain("encode");
    expect(search(specs, "nothing like it")).toEqual([]);
  });

  it("reads documentation as paragraphs and formulas, without what the ports say", () => {
    const text = "One line.\n\neps = uncond + scale · (cond − uncond)\n\n- one\n- two";
    expect(blocks(text)).toEqual([
      { kind: "text", lines: ["One line."] },
      { kind: "formula", lines: ["eps = uncond + scale · (cond − uncond)"] },
      { kind: "list", lines: ["one", "two"] },
    ]);
  });

  it("smooths without pulling the start to zero", () => {
    expect(smooth([5, 5, null, 5], 0.9).map((value) => value && Number(value.toFixed(9)))).toEqual([
      5,
      5,
      null,
      5,
    ]);
  });
});

describe("how loud a node is drawn", () => {
  it("is by what it gives: models and results are louder than settings", () => {
    const types = { ...CATALOG.types, unet: wire({ within: ["torch.nn.modules.module.Module"] }) };
    const cards = cardsOf(docOf(SAMPLING), KINDS, {});
    const loudness = (id: string) => {
      const card = cards[id];
      return card ? weightOf(card, { ...CATALOG, types }) : null;
    };
    expect(loudness("sample")).toBe("loud");
    expect(loudness("unet")).toBe("loud");
    expect(loudness("schedule")).toBe("quiet");
    expect(loudness("decoded")).toBe("plain");
  });
});
