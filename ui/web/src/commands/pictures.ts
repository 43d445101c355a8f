/** Pictures on the sheet: nodes that load what was brought, and masks that were painted. */
import type { Id } from "../document/document";
import { addNode } from "../document/edits";
import { giveMask, loaderOf, type Brought } from "../document/pictures";
import { absolute, sizesOf, type Point } from "../drawing/geometry";
import { editPlaces, select, useEditor } from "../state/editor";
import { within } from "./nodes";

/** Add the node that loads a picture, a mask or a folder of pictures; null where the catalog has none. */
export function addLoader(what: Brought, path: string, at: Point, zone: Id | null): Id | null {
  const loader = loaderOf(useEditor.getState().kinds.catalog, what);
  if (!loader) return null;
  let made: Id = "";
  editPlaces(`Add ${loader.spec.type}`, (doc) => {
    const params = { [loader.port.name]: path };
    const added = addNode(doc, loader.spec, { zone, at: within(zone, at), params });
    made = added.id;
    return added.doc;
  });
  select([made]);
  return made;
}

/** Let a file be the mask of a node's picture, where the masks of that are read. */
export function setMask(id: Id, path: string): { loader: Id | null; readers: readonly Id[] } {
  const state = useEditor.getState();
  const { kinds } = state;
  const [x, y] = absolute(state, id);
  const below = within(state.doc.nodes[id]?.zone ?? null, [x, y + (sizesOf(state).get(id)?.[1] ?? 160) + 40]);
  let given: { loader: Id | null; readers: readonly Id[] } = { loader: null, readers: [] };
  editPlaces("Paint a mask", (doc) => {
    const { doc: masked, loader, readers } = giveMask(doc, kinds, id, path, below);
    given = { loader, readers };
    return masked;
  });
  return given;
}
