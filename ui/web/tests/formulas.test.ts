/** Nodes whose ports are the names in a text: they appear as the text changes, in its order. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cardsAfter, cardsOf, type Cards } from "../src/document/cards";
import { read } from "../src/document/codec";
import { setParam } from "../src/document/edits";
import { inputSlots, outputSlots } from "../src/document/slots";
import { Kinds } from "../src/document/types";
import { connect } from "../src/document/wires";
import type { Catalog } from "../src/server/types";
import { docOf } from "./documents";

const catalog = JSON.parse(readFileSync("../../tests/wires/wires.json", "utf8")) as Catalog;
const [formula] = catalog.nodes.expression?.inputs ?? [];
if (formula) formula.default = "a + s * (b - a)"; // the file knows no defaults
const kinds = new Kinds(catalog);

function opened(mix: object) {
  const nodes = { z: { type: "gaussian_noise" }, mix: { type: "expression", ...mix } };
  return read(JSON.stringify({ loom: 1, nodes })).doc;
}

function ports(mix: object): string[] {
  const doc = opened(mix);
  const node = doc.nodes.mix;
  return node ? inputSlots(doc, kinds, node).map((slot) => slot.handle) : [];
}

describe("the ports of a formula", () => {
  it("are the names in it, in its order, each once", () => {
    const formula = "b * sqrt(a1) + where(b > pi and not c_d, 1e5, 2.)";
    expect(ports({ params: { formula } })).toEqual(["formula", "values.b", "values.a1", "values.c_d"]);
  });

  it("are those of the default where nothing is typed, and none of no text", () => {
    expect(ports({})).toEqual(["formula", "values.a", "values.s", "values.b"]);
    expect(ports({ params: { formula: "" } })).toEqual(["formula"]);
  });

  it("keep a wire whose name has gone from it, to be taken out", () => {
    expect(ports({ params: { formula: "x" }, wires: { values: { old: "z" } } })).toEqual([
      "formula",
      "values.x",
      "values.old",
    ]);
  });

  it("leave numbers that are typed in on a line of their own", () => {
    expect(ports({ params: { formula: "a * s", values: { s: 2 } } })).toEqual([
      "formula",
      "values.a",
      "values",
    ]);
  });

  it("take any name where only the run knows the text", () => {
    expect(ports({ wires: { formula: "z" } })).toEqual(["formula", "values.+"]);
  });

  it("are wired by their names, and the result has the kind of what is wired", () => {
    const doc = opened({ params: { formula: "a * 2" } });
    const source = { node: "z", inner: false, port: "latent", name: "" };
    const after = connect(doc, kinds, source, "mix", "values.a");
    const node = after.nodes.mix;
    expect(node?.wires).toEqual({ values: { a: "z" } });
    expect(node && outputSlots(after, kinds, node, false).map((slot) => slot.kind.name)).toEqual(["latent"]);
  });
});

it("a formula that is typed anew gives its readers another kind, as if all were worked out anew", () => {
  const reader = { type: "expression", params: { formula: "x" }, wires: { values: { x: "mix" } } };
  const before = docOf({ mix: { type: "expression", params: { formula: "2" } }, reader });
  const after = setParam(before, "mix", "formula", "1 / 2");
  const cards = cardsOf(before, kinds, {});
  const kindIn = (all: Cards) => all.reader?.inputs.find(({ name }) => name === "x")?.kind.name;
  const incremental = cardsAfter(after, kinds, { doc: before, cards }, new Set());
  expect([kindIn(cards), kindIn(incremental)]).toEqual(["int", "float"]);
  expect(incremental).toEqual(cardsOf(after, kinds, {}));
});
