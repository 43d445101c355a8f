/**
 * The app view: the page as a form of what one workflow exposes. It works on the workflow as it was saved; what is typed in
 * belongs to this page, and is neither saved nor kept as a draft.
 */
import { create } from "zustand";
import { exposedTargets } from "../document/stages";
import { afterRun } from "../document/seeds";
import { APP } from "../server/api";
import { activeDocument, activeOf, editDocument, useDocuments } from "./documents";
import { useEditor } from "./editor";
import { openSaved } from "./files";
import { submit } from "./runs";

/** The file whose app view an address names; null where it names none. */
export const appIn = (address: string): string | null =>
  address.startsWith(APP) ? address.slice(APP.length) : null;

interface App {
  /** Why there is nothing to show. */
  readonly trouble: string;
}

export const useApp = create<App>()(() => ({ trouble: "" }));

/** Show a file's form, with the run that this tab began of it. */
export async function openApp(path: string): Promise<void> {
  const place = `loom.app ${path}`;
  const begun = Number(sessionStorage.getItem(place)) || null;
  try {
    await openSaved(path, begun);
  } catch (error) {
    useApp.setState({ trouble: error instanceof Error ? error.message : String(error) });
    return;
  }
  useDocuments.subscribe((state) => {
    const { run } = activeOf(state);
    if (run !== null) sessionStorage.setItem(place, String(run));
  });
}

/** Run the workflow with what is typed in, up to what it exposes. */
export async function runApp(): Promise<void> {
  const { id, history } = activeDocument();
  const targets = exposedTargets(history.present, useEditor.getState().cards);
  if (await submit({ targets })) editDocument(id, "Seeds after a run", afterRun);
}
