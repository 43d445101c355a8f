/** What a person can do to how a graph is built: nodes that go and leave their wires, other types, zones on and off. */
import type { Id } from "../document/document";
import { place } from "../document/edits";
import { removeRelinked } from "../document/relinking";
import { swap } from "../document/swapping";
import { dissolve, wrap, wrappable } from "../document/zones";
import { HEADER, placeOf, RAIL_LEFT, ROOM, type Point } from "../drawing/geometry";
import { remove } from "./nodes";
import { editPlaces, select, selectedIds, useEditor } from "../state/editor";
import { say } from "../state/ui";

/** Delete nodes, and wire what read them to what they read. */
export function removeAndJoin(ids: readonly Id[] = selectedIds()): void {
  const { kinds } = useEditor.getState();
  if (ids.length > 0) editPlaces("Delete and join", (doc) => removeRelinked(doc, kinds, ids));
  else remove(); // wires, which join nothing
}

/** Give a node another type; its wires and equal parameters stay where they can. */
export function swapType(id: Id, type: string): void {
  const { kinds } = useEditor.getState();
  let now = id;
  let lost: readonly string[] = [];
  editPlaces(`Change the type to ${type}`, (doc) => {
    const swapped = swap(doc, kinds, id, type);
    now = swapped.id;
    lost = swapped.lost;
    return swapped.doc;
  });
  select([now]);
  tellLost(lost);
}

/** Put a zone of a type around the selected nodes of one scope. */
export function wrapInZone(type: string, ids: readonly Id[] = selectedIds()): void {
  const { kinds, auto, doc: shown } = useEditor.getState();
  const spec = kinds.specs(shown)(type);
  const members = wrappable(shown, ids);
  if (!spec?.body || members.length === 0) return;
  let made: Id = "";
  let lost: readonly string[] = [];
  editPlaces(`Wrap in ${type}`, (doc) => {
    const spots = members.map((id) => [id, placeOf({ doc, auto }, id).at] as const);
    const corner: Point = [
      Math.min(...spots.map(([, [x]]) => x)) - RAIL_LEFT - ROOM,
      Math.min(...spots.map(([, [, y]]) => y)) - HEADER - ROOM,
    ];
    const wrapped = wrap(doc, kinds, members, spec, corner);
    made = wrapped.id;
    lost = wrapped.lost;
    const within = spots.map(
      ([id, [x, y]]) => [id, { at: [x - corner[0], y - corner[1]] as const }] as const,
    );
    return place(wrapped.doc, Object.fromEntries(within));
  });
  select([made]);
  tellLost(lost);
}

/** Take zones off their nodes. */
export function dissolveZones(ids: readonly Id[] = selectedIds()): void {
  const { kinds, auto } = useEditor.getState();
  const freed: Id[] = [];
  const lost: string[] = [];
  editPlaces("Dissolve", (doc) =>
    ids.reduce((next, id) => {
      const [x, y] = placeOf({ doc: next, auto }, id).at;
      const bare = dissolve(next, kinds, id);
      freed.push(...bare.ids);
      lost.push(...bare.lost);
      const spots = bare.ids.map((own) => {
        const { at } = placeOf({ doc: next, auto }, own);
        return [own, { at: [at[0] + x, at[1] + y] as const }] as const;
      });
      return place(bare.doc, Object.fromEntries(spots));
    }, doc),
  );
  if (freed.length > 0) select(freed.filter((id) => id in useEditor.getState().doc.nodes));
  tellLost(lost);
}

function tellLost(lost: readonly string[]): void {
  if (lost.length === 0) return;
  const wires = lost.length === 1 ? "One wire fits" : `${lost.length} wires fit`;
  say(
    `${wires} no longer and came off: ${lost.slice(0, 3).join(", ")}${lost.length > 3 ? ", …" : ""}`,
    "bad",
  );
}
