/** The graph as a picture: what it holds, and that nothing in a workflow becomes a part of it. */
import { describe, expect, it } from "vitest";
import { cardsOf } from "../src/document/cards";
import type { Doc, Id } from "../src/document/document";
import { fillIn } from "../src/drawing/layout";
import { svgOf } from "../src/drawing/svg";
import { CATALOG } from "./catalog";
import { docOf, KINDS, SAMPLING } from "./documents";

const drawn = (doc: Doc, ids: readonly Id[] | null = null): string => {
  const cards = cardsOf(doc, KINDS, {});
  const sheet = { doc, cards, auto: fillIn(doc, cards, {}), measured: {} };
  return svgOf(sheet, { catalog: CATALOG, colour: () => "#123456" }, ids);
};
const count = (svg: string, tag: string) => svg.split(`<${tag} `).length - 1;

describe("the picture of a graph", () => {
  it("holds every node, value and wire", () => {
    const svg = drawn(docOf(SAMPLING, { title: "Two & more" }));
    for (const text of [">noise<", ">sample<", ">guide<", ">3<", "<title>Two &#38; more</title>"])
      expect(svg).toContain(text);
    expect(count(svg, "path")).toBe(12);
    expect(svg).not.toMatch(/var\(|oklch|foreignObject|NaN|undefined/);
  });

  it("of a selection holds its zones' insides and the wires between, and no others", () => {
    const svg = drawn(docOf(SAMPLING), ["sample"]);
    expect(svg).toContain(">guide<");
    expect(svg).not.toContain(">decoded<");
    expect(count(svg, "path")).toBe(7);
    expect(() => drawn(docOf({}))).toThrow("nothing to draw");
  });

  it("takes texts for texts", () => {
    const hostile = '</text><script>alert("1")</script>\u0000\u0007&amp;';
    const layout = {
      n: { at: [0, 0], kind: "note", text: hostile, colour: 'red" onload="x' },
      f: { at: [0, 0], kind: "frame", text: hostile, size: [9, 9] },
    };
    const svg = drawn(
      docOf({ p: { type: "picture", params: { fit: hostile } } }, { title: hostile, layout }),
    );
    expect(svg).not.toContain("<script");
    expect(svg).not.toContain("onload");
    // eslint-disable-next-line no-control-regex
    expect(svg).not.toMatch(/[\u0000-\u0008]/);
  });
});
