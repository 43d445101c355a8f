import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { read, write } from "../src/document/codec";
import { parse, print } from "../src/document/json";

const FOLDER = new URL("../../../workflows/", import.meta.url);
const shipped = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

/** The file as its numbers and order of keys are written, without its white space. */
const compact = (text: string): string => print(parse(text));

describe("a file read and written again", () => {
  it.each(shipped)("%s stays the same", (name) => {
    const text = readFileSync(new URL(name, FOLDER), "utf8");
    expect(write(read(text).doc)).toBe(compact(text));
  });

  it("keeps numbers as they are written", () => {
    const text =
      '{"loom":1,"nodes":{"a":{"type":"x","params":{"lr":1.0,"seed":9223372036854775807,"tiny":1e-06,"n":[1,2.50,-0]}}}}';
    expect(write(read(text).doc)).toBe(text.replace("1e-06", "0.000001").replace("2.50", "2.5"));
  });

  it("keeps the order of nodes, wires and places, and what only the drawing knows", () => {
    const text = print({
      loom: 1,
      title: "t",
      exposed: { params: { scale: "b.scale" } },
      definitions: { d: { inputs: ["x"], nodes: { q: { type: "y" } }, results: { r: "q" } } },
      nodes: {
        b: { type: "x", mode: "mute", wires: { z: "a", c: ["a", "a"], m: { k: "a" } } },
        a: { type: "group", body: { nodes: { inner: { type: "x" } } } },
      },
      layout: {
        b: { at: [3, -4] },
        frame: { at: [0, 0], size: [10, 20], kind: "frame", text: "hello" },
        a: { at: [1, 2], collapsed: true },
        bend: { at: [5, 6], kind: "reroute", wire: "b.z" },
      },
    });
    expect(write(read(text).doc)).toBe(text);
  });

  it("lays nested bodies flat and nests them again", () => {
    const text = readFileSync(new URL("quickstart.json", FOLDER), "utf8");
    const { doc } = read(text);
    expect(doc.nodes.guide?.zone).toBe("sample");
    expect(doc.nodes.preview_prediction?.zone).toBe("preview");
    expect(doc.nodes.preview?.zone).toBe("look_at_samples");
    expect(doc.nodes.look_at_samples?.zone).toBe("diffusion");
  });

  it("renames the second of two nodes with one id and says so", () => {
    const body = { nodes: { a: { type: "x" } }, results: {} };
    const { doc, notices } = read(
      print({ loom: 1, nodes: { a: { type: "x" }, z: { type: "group", body } } }),
    );
    expect(Object.keys(doc.nodes)).toEqual(["a", "z", "a2"]);
    expect(notices).toHaveLength(1);
  });

  it("refuses what is no workflow", () => {
    expect(() => read("[1]")).toThrow(SyntaxError);
    expect(() => read("{")).toThrow();
  });
});
