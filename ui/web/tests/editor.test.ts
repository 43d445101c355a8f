// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from "vitest";
import { add, connectWire, disconnectWire, move, pasteText, setTitle, toggleExposed } from "../src/commands";
import type { Doc, Edit } from "../src/document/document";
import { place } from "../src/document/edits";
import { sourceOf } from "../src/document/references";
import { edit, redoEdit, select, selectedIds, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { restore } from "../src/state/documents";
import { CATALOG } from "./catalog";
import { docOf } from "./documents";

const doc = () => useEditor.getState().doc;
const wire = () => connectWire(sourceOf("noise", "out:latent"), { node: "decoded", handle: "z" });

beforeEach(() => {
  setCatalog(CATALOG);
  restore([{ doc: docOf({ noise: { type: "noise" }, decoded: { type: "decode" } }) }], 0);
});

describe("a wire that is drawn later leaves as it was", () => {
  it("what was moved", () => {
    move({ noise: { at: [1000, 2000] } });
    wire();
    expect(doc().nodes.decoded?.wires.z).toBe("noise");
    expect(doc().places.noise?.at).toEqual([1000, 2000]);
  });

  it("the title, and what was exposed", () => {
    setTitle("My workflow");
    toggleExposed("params", "noise.seed", "s");
    wire();
    expect(doc().title).toBe("My workflow");
    expect(doc().exposed.params).toEqual({ s: "noise.seed" });
  });

  it("what another wire was pulled off", () => {
    wire();
    disconnectWire({ node: "decoded", handle: "z" });
    add("decode", [0, 0], null, { side: "source", source: sourceOf("noise", "out:latent") });
    expect(doc().nodes.decoded?.wires).toEqual({});
    expect(doc().nodes.decode?.wires).toEqual({ z: "noise" });
  });
});

describe("the editor", () => {
  it("draws the document that undo and redo bring", () => {
    wire();
    expect(useEditor.getState().edges.map((edge) => edge.id)).toEqual(["decoded.z"]);
    undoEdit();
    expect(useEditor.getState().edges).toEqual([]);
    redoEdit();
    expect(useEditor.getState().edges).toHaveLength(1);
  });

  it("selects what was pasted, and refuses what is no workflow", () => {
    expect(pasteText('{"loom": 1, "nodes": {"noise": {"type": "noise"}}}', [5, 6], null, false)).toBe(true);
    expect(selectedIds()).toEqual(["noise2"]);
    expect(pasteText("{", [0, 0], null, false)).toBe(false);
    select(["noise"]);
    expect(selectedIds()).toEqual(["noise"]);
  });

  it("takes nothing but what an edit makes of the document it is handed", () => {
    const other: Doc = doc();
    // @ts-expect-error -- another document, such as the one that a callback closed over, is no answer
    const stale: Edit = () => other;
    // @ts-expect-error -- nor is what was made of another
    const mixed: Edit = (_doc) => place(other, {});
    const good: Edit = (next) => place(next, { noise: { at: [1, 2] } });
    expect([stale(doc()), mixed(doc()), good(doc())]).toHaveLength(3);
    edit("Move", good);
    expect(doc().places.noise?.at).toEqual([1, 2]);
  });
});
