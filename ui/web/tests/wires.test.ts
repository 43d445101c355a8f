/** Which wires fit: the canvas is asked what the engine was (tests/wires), and must say the same. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { read } from "../src/document/codec";
import { sourceOf } from "../src/document/references";
import { objection } from "../src/document/rules";
import { Kinds } from "../src/document/types";
import { connect } from "../src/document/wires";
import type { Catalog } from "../src/server/types";

/** Source, target, its handle, what is then wired there, and why the engine refuses it (empty where it does not). */
type Question = [string, string, string, unknown, string];
interface Asked extends Catalog {
  graphs: { graph: string; workflow: object; wires: Question[] }[];
}

const asked = JSON.parse(readFileSync("../../tests/wires/wires.json", "utf8")) as Asked;
const kinds = new Kinds(asked);

describe.each(asked.graphs)("wires of $graph", ({ workflow, wires }) => {
  const { doc } = read(JSON.stringify(workflow));

  it("fit where the engine says so", () => {
    const disagreements = wires.flatMap(([from, target, handle, , refused]) => {
      const [node = "", port = ""] = from.split(" ");
      const why = objection(doc, kinds, sourceOf(node, port), target, handle);
      return (why === null) === (refused === "")
        ? []
        : [{ from, target, handle, canvas: why, engine: refused }];
    });
    expect(disagreements).toEqual([]);
  });

  it("are written into the file as the engine was asked about them", () => {
    for (const [from, target, handle, value, refused] of wires) {
      if (refused !== "") continue; // what fits in no form may be written in any
      const [node = "", port = ""] = from.split(" ");
      const after = connect(doc, kinds, sourceOf(node, port), target, handle).nodes[target];
      const [head = "", key = ""] = handle.split(".");
      const results = after?.results ?? {};
      const written =
        handle === "results.+" ? results : head === "results" ? results[key] : after?.wires[head];
      expect(written).toEqual(value);
    }
  });
});
