/** What a person can do to the document, whichever key, menu or button asks for it. */
import { copy, duplicate, paste } from "../document/clipboard";
import { freshId, isTaken, type Doc, type Id, type Mode, type Ref } from "../document/document";
import { addNode, changeNode, place, removeNodes, setMode } from "../document/edits";
import { connect, disconnect } from "../document/wires";
import { sourceOf, type Source } from "../document/references";
import { objection } from "../document/rules";
import { inputSlots, outputSlots } from "../document/slots";
import type { Kinds } from "../document/types";
import { edit, editPlaces, select, selectedIds, useEditor } from "../state/editor";
import { say, type LooseEnd } from "../state/ui";
import { absolute, placeOf, sizesOf, type Point } from "./geometry";
import { layOut } from "./layout";
import { boundsOf } from "./view";

const spot = (id: Id) => placeOf(useEditor.getState(), id);

/** A point of the sheet, as a zone counts it. */
export function within(zone: Id | null, at: Point): Point {
  if (zone === null) return at;
  const [x, y] = absolute(useEditor.getState(), zone);
  return [at[0] - x, at[1] - y];
}

/** Add a node; where a wire is loose, its first port that fits takes it. */
export function add(
  type: string,
  at: Point,
  zone: Id | null,
  loose: LooseEnd | null = null,
  into?: { node: Id; handle: string },
): Id | null {
  const { doc: shown, kinds } = useEditor.getState();
  const spec = kinds.specs(shown)(type);
  if (!spec) return null;
  let made: Id = "";
  editPlaces(`Add ${type}`, (doc) => {
    const added = addNode(doc, spec, { zone, at: within(zone, at) });
    made = added.id;
    if (!loose) return added.doc;
    const link = firstFit(added.doc, kinds, loose, added.id);
    const joined = link ? connect(added.doc, kinds, link.source, link.target, link.handle) : added.doc;
    if (!into) return joined;
    // Put into a wire: the new node feeds what the wire fed.
    const onward = firstFit(joined, kinds, { side: "target", ...into }, added.id);
    return onward ? connect(joined, kinds, onward.source, onward.target, onward.handle) : joined;
  });
  select([made]);
  return made;
}

function firstFit(
  doc: Doc,
  kinds: Kinds,
  loose: LooseEnd,
  id: Id,
): { source: Source; target: Id; handle: string } | null {
  const own = handlesOf(doc, kinds, id);
  if (loose.side === "source") {
    const handle = own.inputs.find((handle) => objection(doc, kinds, loose.source, id, handle) === null);
    return handle ? { source: loose.source, target: id, handle } : null;
  }
  const handle = own.outputs.find(
    (handle) => objection(doc, kinds, sourceOf(id, handle), loose.node, loose.handle) === null,
  );
  return handle ? { source: sourceOf(id, handle), target: loose.node, handle: loose.handle } : null;
}

export function remove(ids: readonly Id[] = selectedIds()): void {
  const edges = useEditor.getState().edges.filter((edge) => edge.selected);
  if (ids.length > 0) editPlaces("Delete", (doc) => removeNodes(doc, ids));
  else if (edges.length > 0) {
    edit("Delete wires", (doc) => {
      // From the last on, so that the items of a list keep their numbers.
      const ordered = [...edges].sort((a, b) => b.id.localeCompare(a.id, undefined, { numeric: true }));
      return ordered.reduce((next, edge) => {
        const [target = ""] = edge.id.split(".");
        return disconnect(next, target, edge.id.slice(target.length + 1));
      }, doc);
    });
  }
}

/** The selection as text; null where nothing is selected. */
export function copiedText(): string | null {
  const ids = selectedIds();
  return ids.length === 0 ? null : copy(useEditor.getState().doc, ids, spot);
}

export async function copySelection(): Promise<void> {
  const text = copiedText();
  if (text === null) return;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser allows this only by Ctrl C here", "bad");
  }
}

export function pasteText(text: string, at: Point, zone: Id | null, keepWires: boolean): boolean {
  const { kinds } = useEditor.getState();
  let pasted: Id[] = [];
  try {
    editPlaces("Paste", (doc) => {
      const result = paste(doc, kinds.specs(doc), text, zone, within(zone, at), keepWires);
      pasted = result.ids;
      return result.doc;
    });
  } catch {
    return false;
  }
  select(pasted);
  return pasted.length > 0;
}

export function duplicateSelection(): void {
  const { kinds } = useEditor.getState();
  const ids = selectedIds();
  let made: Id[] = [];
  editPlaces("Duplicate", (doc) => {
    const result = duplicate(doc, kinds.specs(doc), ids, spot);
    made = result.ids;
    return result.doc;
  });
  if (made.length > 0) select(made);
}

export function toggleMode(mode: Mode, ids: readonly Id[] = selectedIds()): void {
  edit(mode === "mute" ? "Mute" : "Bypass", (doc) => {
    const nodes = ids.filter((id) => id in doc.nodes);
    const all = nodes.every((id) => doc.nodes[id]?.mode === mode);
    return setMode(doc, nodes, all ? "run" : mode);
  });
}

export function toggleCollapsed(ids: readonly Id[] = selectedIds()): void {
  editPlaces("Collapse", (doc) => {
    const nodes = ids.filter((id) => id in doc.nodes);
    const all = nodes.every((id) => doc.places[id]?.collapsed);
    return place(doc, Object.fromEntries(nodes.map((id) => [id, { collapsed: all ? undefined : true }])));
  });
}

export function selectAll(): void {
  const { nodes } = useEditor.getState();
  select(nodes.filter((node) => !node.hidden).map((node) => node.id));
}

/** Lay out everything, or what is inside of the selected zones. */
export function arrange(): void {
  const { doc, cards, measured } = useEditor.getState();
  const places = layOut(doc, cards, measured);
  const zones = selectedIds().filter((id) => cards[id]?.isZone);
  const wanted = Object.entries(places).filter(([id]) => {
    if (zones.length === 0) return true;
    for (let zone = doc.nodes[id]?.zone ?? null; zone !== null; zone = doc.nodes[zone]?.zone ?? null)
      if (zones.includes(zone)) return true;
    return false;
  });
  editPlaces("Lay out", (next) => {
    const unsized = Object.fromEntries(wanted.map(([id, { at }]) => [id, { at, size: undefined }]));
    return place(next, unsized);
  });
}

export type Side = "left" | "right" | "top" | "bottom" | "row" | "column";

/** Line up the selected nodes, each within its own zone; "row" and "column" space them out evenly. */
export function align(side: Side): void {
  const sheet = useEditor.getState();
  const sizes = sizesOf(sheet);
  const ids = selectedIds().filter((id) => id in sheet.doc.nodes || id in sheet.doc.places);
  if (ids.length < 2) return;
  const box = (id: Id) => {
    const { at, size } = placeOf(sheet, id);
    const [w, h] = sizes.get(id) ?? size ?? [0, 0];
    return { id, x: at[0], y: at[1], w, h };
  };
  const boxes = ids.map(box);
  const edge = {
    left: Math.min(...boxes.map((own) => own.x)),
    top: Math.min(...boxes.map((own) => own.y)),
    right: Math.max(...boxes.map((own) => own.x + own.w)),
    bottom: Math.max(...boxes.map((own) => own.y + own.h)),
  };
  const gap = 32;
  const places: Record<Id, { at: Point }> = {};
  let [x, y] = [edge.left, edge.top];
  const ordered = [...boxes].sort((a, b) => (side === "row" ? a.x - b.x : a.y - b.y));
  for (const own of ordered) {
    if (side === "left") places[own.id] = { at: [edge.left, own.y] };
    if (side === "right") places[own.id] = { at: [edge.right - own.w, own.y] };
    if (side === "top") places[own.id] = { at: [own.x, edge.top] };
    if (side === "bottom") places[own.id] = { at: [own.x, edge.bottom - own.h] };
    if (side === "row") places[own.id] = { at: [x, edge.top] };
    if (side === "column") places[own.id] = { at: [edge.left, y] };
    x += own.w + gap;
    y += own.h + gap;
  }
  editPlaces("Align", (doc) => place(doc, places));
}

export function addFrame(): void {
  const sheet = useEditor.getState();
  const ids = selectedIds();
  if (ids.length === 0) return;
  const box = boundsOf(sheet, ids);
  const pad = 28;
  editPlaces("Add a frame", (doc) => {
    const id = freshId(isTaken(doc), "frame");
    return place(doc, {
      [id]: {
        kind: "frame",
        at: [box.x - pad, box.y - pad - 16],
        size: [box.width + 2 * pad, box.height + 2 * pad + 16],
        text: "Frame",
      },
    });
  });
}

export function addNote(at: Point): void {
  editPlaces("Add a note", (doc) =>
    place(doc, { [freshId(isTaken(doc), "note")]: { kind: "note", at, size: [220, 120], text: "" } }),
  );
}

/** A bend in a wire. */
export function addReroute(wire: string, at: Point): void {
  editPlaces("Add a reroute", (doc) =>
    place(doc, { [freshId(isTaken(doc), "reroute")]: { kind: "reroute", at: [at[0] - 6, at[1] - 6], wire } }),
  );
}

/** Show a parameter or an output in the app view, or no longer. */
export function toggleExposed(what: "params" | "outputs", ref: Ref, wanted: string): void {
  edit("Change the app view", (doc) => {
    const all = doc.exposed[what];
    const kept = Object.entries(all).filter(([, own]) => own !== ref);
    const shown = kept.length < Object.keys(all).length;
    const name = freshId((taken) => taken in all, wanted);
    const next = Object.fromEntries(shown ? kept : [...kept, [name, ref]]);
    return { ...doc, exposed: { ...doc.exposed, [what]: next } };
  });
}

/** Put a body back where a zone has none. */
export const giveBody = (id: Id) => edit("Add a body", (doc) => changeNode(doc, id, { results: {} }));

function handlesOf(doc: Doc, kinds: Kinds, id: Id): { inputs: string[]; outputs: string[] } {
  const node = doc.nodes[id];
  if (!node) return { inputs: [], outputs: [] };
  const inputs = [...inputSlots(doc, kinds, node)];
  // A port that only a wire can fill comes before a parameter.
  inputs.sort((a, b) => Number(a.port.schema !== undefined) - Number(b.port.schema !== undefined));
  return {
    inputs: inputs.map((slot) => slot.handle),
    outputs: outputSlots(doc, kinds, node, false).map((slot) => slot.handle),
  };
}
