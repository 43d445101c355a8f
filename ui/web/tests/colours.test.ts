/** Colours of wires: those that are met most are told apart, however many types a catalog has. */
import { describe, expect, it } from "vitest";
import { wireColour } from "../src/drawing/colours";
import type { Catalog } from "../src/server/types";
import { node, port, wire } from "./catalog";

const FEW = 20;
const MANY = 90;
/** Types by how many ports have them, the most common ones last by their names. */
const types = Array.from({ length: MANY }, (_, i) => `kind${String(MANY - i).padStart(2, "0")}`);
const nodes = types.flatMap((type, i) =>
  i < FEW ? Array.from({ length: 2 }, (_, n) => node(`${type}_${n}`, [], [port("x", type)])) : [],
);

const catalogOf = (names: readonly string[]): Catalog => ({
  nodes: Object.fromEntries(nodes.map((spec) => [spec.type, spec])),
  types: Object.fromEntries(names.map((name) => [name, wire({})])),
});

describe("colours of wires", () => {
  it("differ for the types that most ports have, whatever else there is", () => {
    const catalog = catalogOf(types);
    expect(new Set(types.slice(0, FEW).map((type) => wireColour(catalog, type))).size).toBe(FEW);
    expect(new Set(types.map((type) => wireColour(catalog, type))).size).toBe(44);
  });

  it("stay what they are where a type comes that no port has", () => {
    const before = catalogOf(types);
    const after = catalogOf(["aaa", ...types]);
    for (const type of types.slice(0, FEW)) expect(wireColour(after, type)).toBe(wireColour(before, type));
  });
});
