/** Adding a node together with the zone that it is made for. */
import type { Id } from "../document/document";
import { addNode } from "../document/edits";
import { wiredWithin } from "../document/homes";
import type { Json } from "../document/json";
import { HEADER, RAIL_LEFT, type Point } from "../drawing/geometry";
import { editPlaces, select, useEditor } from "../state/editor";
import { within } from "./nodes";

const ROOM = 28;

/** A new zone with a new node inside, wired to each other: one step. */
export function addInside(
  zoneType: string,
  type: string,
  at: Point,
  zone: Id | null,
  params: Readonly<Record<string, Json>> = {},
): Id | null {
  const { doc: shown, kinds } = useEditor.getState();
  const [around, spec] = [kinds.specs(shown)(zoneType), kinds.specs(shown)(type)];
  if (!around?.body || !spec) return null;
  let made: Id = "";
  editPlaces(`Add ${type} inside a new ${zoneType}`, (doc) => {
    const outer = addNode(doc, around, { zone, at: within(zone, at) });
    const spot = [RAIL_LEFT + ROOM, HEADER + ROOM] as const;
    const inner = addNode(outer.doc, spec, { zone: outer.id, at: spot, params });
    made = inner.id;
    return wiredWithin(inner.doc, kinds, outer.id, inner.id);
  });
  select([made]);
  return made;
}
