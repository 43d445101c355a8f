/** What a person can do to nodes, whichever key, menu or button asks for it. */
import { copy, duplicate, paste } from "../document/clipboard";
import { cardsOf } from "../document/cards";
import { halves, inside, type Doc, type Edit, type Id, type Mode, type Place } from "../document/document";
import { addNode, changeNode, place, removeNodes, rename, setMode, setParam } from "../document/edits";
import { unpack } from "../document/definitions";
import type { Json } from "../document/json";
import { connect, disconnect } from "../document/wires";
import { entrance, exit } from "../document/relinking";
import type { Kinds } from "../document/types";
import {
  edit,
  editAt,
  editPlaces,
  select,
  selectedIds,
  shownSheet,
  useEditor,
  type SheetAt,
} from "../state/editor";
import { say, type LooseEnd } from "../state/ui";
import { absolute, placeOf, type Point } from "../drawing/geometry";
import { layOut } from "../drawing/layout";

const spot = (id: Id) => placeOf(useEditor.getState(), id);

/** A point of the sheet, as a zone counts it. */
export function within(zone: Id | null, at: Point): Point {
  if (zone === null) return at;
  const [x, y] = absolute(useEditor.getState(), zone);
  return [at[0] - x, at[1] - y];
}

/** Add a node; where a wire is loose, its first port that fits takes it. `prepare`: what the type needs to be there. */
export function add(
  type: string,
  at: Point,
  zone: Id | null,
  loose: LooseEnd | null = null,
  into?: { node: Id; handle: string },
  params: Readonly<Record<string, Json>> = {},
  prepare: Edit = (doc) => doc,
): Id | null {
  const { doc: shown, kinds } = useEditor.getState();
  const spec = kinds.specs(prepare(shown))(type);
  if (!spec) return null;
  let made: Id = "";
  editPlaces(`Add ${type}`, (doc) => {
    const added = addNode(prepare(doc), spec, { zone, at: within(zone, at), params });
    made = added.id;
    if (!loose) return added.doc;
    const joined = fed(added.doc, kinds, loose, added.id);
    // Put into a wire: the new node feeds what the wire fed.
    return into ? fed(joined, kinds, { side: "target", ...into }, added.id) : joined;
  });
  select([made]);
  return made;
}

/** A document with the loose end of a wire at the first port of a node that fits, where one does. */
function fed<D extends Doc>(doc: D, kinds: Kinds, loose: LooseEnd, id: Id): D {
  if (loose.side === "source") {
    const handle = entrance(doc, kinds, loose.source, id);
    return handle === null ? doc : connect(doc, kinds, loose.source, id, handle);
  }
  const source = exit(doc, kinds, id, loose);
  return source ? connect(doc, kinds, source, loose.node, loose.handle) : doc;
}

export function remove(ids: readonly Id[] = selectedIds()): void {
  const edges = useEditor.getState().edges.filter((edge) => edge.selected);
  if (ids.length > 0) editPlaces("Delete", (doc) => removeNodes(doc, ids));
  else if (edges.length > 0) {
    edit("Delete wires", (doc) => {
      // From the last on, so that the items of a list keep their numbers.
      const ordered = [...edges].sort((a, b) => b.id.localeCompare(a.id, undefined, { numeric: true }));
      return ordered.reduce((next, edge) => {
        const [target, handle] = halves(edge.id);
        return disconnect(next, target, handle);
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

/** Give a node another name. */
export const renameNode = (id: Id, wanted: string) => edit("Rename", (doc) => rename(doc, id, wanted));

/**
 * Type a value in; undefined goes back to the default. The steps of one `gesture` are one step to undo. A field names
 * its sheet: what is uploaded for it may arrive when another is shown.
 */
export function setParameter(
  id: Id,
  name: string,
  value: Json | undefined,
  gesture?: string,
  sheet: SheetAt = shownSheet(),
): void {
  const key = gesture ? `${id}.${name} ${gesture}` : null;
  editAt(sheet, `Change ${name}`, (doc) => setParam(doc, id, name, value), key);
}

export function selectAll(): void {
  const { nodes } = useEditor.getState();
  select(nodes.filter((node) => !node.hidden).map((node) => node.id));
}

/** Put the nodes that a use of a definition stands for in its place. */
export function unpackDefinition(id: Id): void {
  let made: Id[] = [];
  editPlaces("Unpack", (doc) => {
    const { doc: unpacked, ids } = unpack(doc, id);
    made = ids;
    return place(unpacked, placesFrom(doc.places[id]?.at ?? [0, 0], unpacked, ids));
  });
  if (made.length > 0) select(made);
}

/** Places for some nodes of one zone, laid out by themselves from a corner on. */
function placesFrom(corner: Point, doc: Doc, ids: readonly Id[]): Record<Id, Place> {
  const nodes = ids.flatMap((id) => {
    const node = doc.nodes[id];
    return node ? [{ ...node, zone: null }, ...inside(doc, id)] : [];
  });
  const alone = { ...doc, nodes: Object.fromEntries(nodes.map((node) => [node.id, node])), places: {} };
  const cards = cardsOf(doc, useEditor.getState().kinds, {});
  const own = Object.fromEntries(Object.entries(cards).filter(([id]) => id in alone.nodes));
  const places = Object.entries(layOut(alone, own, {}));
  const least = (axis: 0 | 1): number =>
    Math.min(...places.flatMap(([id, { at }]) => (ids.includes(id) ? [at[axis]] : [])));
  const [left, top] = [least(0), least(1)];
  return Object.fromEntries(
    places.map(
      ([
        id,
        {
          at: [x, y],
        },
      ]) =>
        ids.includes(id)
          ? [id, { at: [x - left + corner[0], y - top + corner[1]] as const }]
          : [id, { at: [x, y] as const }],
    ),
  );
}

/** Put a body back where a zone has none. */
export const giveBody = (id: Id) => edit("Add a body", (doc) => changeNode(doc, id, { results: {} }));
