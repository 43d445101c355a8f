/** Sending runs off as a person asked: so many, each with the next seed; and what becomes of seeds once one is sent. */
import { afterRun } from "../document/seeds";
import type { SubmitOptions } from "../server/api";
import { activeDocument, editDocument } from "./documents";
import { asked, useAsking } from "./runOptions";
import { submit } from "./runs";

/** Run what is shown, as often as was asked for; `more` is asked besides. Ends at the first run that is refused. */
export async function run(more: SubmitOptions = {}): Promise<void> {
  const { times } = useAsking.getState();
  const { id } = activeDocument();
  for (let nth = 0; nth < times; nth++) {
    if (activeDocument().id !== id || !(await submit({ ...asked(nth), ...more }))) return;
    editDocument(id, "Seeds after a run", afterRun);
  }
}
