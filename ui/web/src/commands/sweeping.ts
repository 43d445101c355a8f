/** Drawing a sweep over a parameter: one step to undo. */
import type { Id } from "../document/document";
import type { Json } from "../document/json";
import { sweep } from "../document/sweep";
import { editPlaces, select, useEditor } from "../state/editor";
import { say } from "../state/ui";

/** Draw a sweep over a parameter. Gives its zone; null where none could be drawn. */
export function sweepOver(id: Id, param: string, values: readonly Json[]): Id | null {
  const { kinds } = useEditor.getState();
  const made: { zone: Id | null; ends: string[] } = { zone: null, ends: [] };
  editPlaces(`Sweep over ${param}`, (doc) => {
    const swept = sweep(doc, kinds, id, param, values);
    if (!swept) return doc;
    made.zone = swept.zone;
    made.ends = [swept.grid ? "a grid" : "", swept.table ? "a table" : ""].filter(Boolean);
    return swept.doc;
  });
  if (made.zone === null) {
    say("There is no zone here to sweep with", "bad");
    return null;
  }
  select([made.zone]);
  say(
    made.ends.length > 0
      ? `${values.length} values, and ${made.ends.join(" and ")} of what they give. Run it, or undo it as a whole.`
      : `${values.length} values. Neither pictures nor numbers come out of it, so there is no grid and no table.`,
  );
  return made.zone;
}
