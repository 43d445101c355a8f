// @vitest-environment happy-dom
/** Open documents: each with its own history, drawing and file; closing and its way back. */
import { beforeEach, describe, expect, it } from "vitest";
import { add, move, setParameter, setTitle } from "../src/commands";
import { EMPTY } from "../src/document/document";
import {
  activate,
  activeDocument,
  close,
  documentOf,
  isDirty,
  nameOf,
  open,
  replace,
  restore,
  setFile,
  step,
  useDocuments,
} from "../src/state/documents";
import { select, selectedIds, setCatalog, undoEdit, useEditor } from "../src/state/editor";
import { CATALOG } from "./catalog";
import { docOf } from "./documents";

const names = () => useDocuments.getState().open.map(nameOf);
const drawn = () => useEditor.getState().doc;
const titled = (title: string) => ({ doc: docOf({ noise: { type: "noise" } }, { title }) });

beforeEach(() => {
  setCatalog(CATALOG);
  restore([titled("one"), titled("two"), titled("three")], 0);
});

describe("documents", () => {
  it("opens each beside the one that is shown, and shows it", () => {
    open(titled("new"));
    expect(names()).toEqual(["one", "new", "two", "three"]);
    expect(drawn().title).toBe("new");
  });

  it("puts one in the place of an empty sheet that nothing was done with, and of no other", () => {
    restore([{ doc: EMPTY }], 0);
    open(titled("a"));
    expect(names()).toEqual(["a"]);
    restore([{ doc: EMPTY }], 0);
    add("noise", [0, 0], null);
    undoEdit();
    open(titled("a"));
    expect(names()).toEqual(["Untitled workflow", "a"]);
  });

  it("keeps for each its history and its selection", () => {
    const first = activeDocument().id;
    setTitle("changed");
    select(["noise"]);
    step(1);
    expect(drawn().title).toBe("two");
    expect(selectedIds()).toEqual([]);
    move({ noise: { at: [5, 5] } });
    activate(first);
    expect(drawn().title).toBe("changed");
    expect(selectedIds()).toEqual(["noise"]);
    undoEdit();
    undoEdit();
    expect(drawn().title).toBe("one");
    step(1);
    expect(drawn().places.noise?.at).toEqual([5, 5]);
  });

  it("goes round from the last to the first", () => {
    step(-1);
    expect(drawn().title).toBe("three");
    step(1);
    expect(drawn().title).toBe("one");
  });

  it("gives a value that comes late to the document it was meant for", () => {
    const first = activeDocument().id;
    step(1);
    setParameter("noise", "seed", 5, undefined, { document: first, within: "" });
    expect(drawn().nodes.noise?.params).toEqual({});
    expect(documentOf(first)?.history.present.nodes.noise?.params).toEqual({ seed: 5 });
  });
});

describe("closing", () => {
  it("shows the neighbour, and the way back brings the document with its history to its place", () => {
    step(1);
    setTitle("2");
    const back = close(activeDocument().id);
    expect(names()).toEqual(["one", "three"]);
    expect(drawn().title).toBe("three");
    back?.();
    expect(names()).toEqual(["one", "2", "three"]);
    undoEdit();
    expect(drawn().title).toBe("two");
    back?.();
    expect(names()).toEqual(["one", "two", "three"]);
  });

  it("of the last leaves an empty sheet, which the way back takes the place of", () => {
    restore([titled("only")], 0);
    const back = close(activeDocument().id);
    expect(drawn()).toEqual(EMPTY);
    back?.();
    expect(names()).toEqual(["only"]);
  });

  it("of another leaves the one that is shown", () => {
    const [, , third] = useDocuments.getState().open;
    close(third?.id ?? 0);
    expect(drawn().title).toBe("one");
  });
});

describe("unsaved changes", () => {
  it("are what differs from the file, and a sheet of notes without a node", () => {
    const { id, history } = activeDocument();
    setFile(id, { path: "workflows/one.json", saved: history.present });
    expect(isDirty(activeDocument())).toBe(false);
    setTitle("x");
    expect(isDirty(activeDocument())).toBe(true);
    undoEdit();
    expect(isDirty(activeDocument())).toBe(false);
    open({ doc: EMPTY });
    expect(isDirty(activeDocument())).toBe(false);
    open({ doc: docOf({}, { layout: { note: { at: [0, 0], kind: "note", text: "mine" } } }) });
    expect(isDirty(activeDocument())).toBe(true);
  });

  it("are not lost where the file's version takes their place: that is a step to undo", () => {
    setTitle("mine");
    replace(activeDocument().id, "Take the file's version", docOf({}, { title: "theirs" }));
    expect(drawn().title).toBe("theirs");
    undoEdit();
    expect(drawn().title).toBe("mine");
  });
});
