/** Files and drafts: opening each as a document of its own, saving, closing. */
import { api, Refused } from "../server/api";
import type { Document } from "../server/types";
import { EMPTY, type Doc } from "../document/document";
import { read, write } from "../document/codec";
import { underCurrentNames } from "../document/renamed";
import { addressOf, addressShown, draftIn } from "./address";
import {
  activate,
  activeDocument,
  close,
  documentOf,
  isDirty,
  isUntouched,
  nameOf,
  open,
  restore,
  setFile,
  useDocuments,
  type DocumentId,
  type Opening,
  type OpenDocument,
} from "./documents";
import { allDrafts, draftOf, takeOverDrafts, type Draft } from "./drafts";
import { useEditor } from "./editor";
import { keepNow, knowDraft } from "./keeping";
import { readSession, type Tab } from "./session";
import { openDialog, say, sayError } from "./ui";

/** A text as a document by present names; what could not be kept is told. Throws SyntaxError where it is no workflow. */
function readTelling(text: string): Doc {
  const { doc, notices } = read(text);
  notices.forEach((notice) => say(notice, "bad"));
  return underCurrentNames(doc, useEditor.getState().kinds.specs(doc));
}

/** A workflow as the server gave it. One from a picture is in no file of its own. */
function fromServer({ text, path, etag, shipped }: Document): Opening {
  const doc = readTelling(text);
  return /^(shipped|workflows)\//.test(path) ? { doc, file: { path, etag, shipped, saved: doc } } : { doc };
}

const fromDraft = ({ text, path, etag, shipped, id }: Draft): Opening => ({
  doc: readTelling(text),
  file: { path, etag, shipped },
  draft: id,
});

/** Open a file as it was saved, whatever unsaved changes there are, with the run that it shows. Throws Refused. */
export async function openSaved(path: string, run: number | null): Promise<OpenDocument> {
  return open({ ...fromServer(await api.open(path)), run });
}

let asked = 0;

/** Show a file: the document that has it open, or a new one. */
export async function openFile(path: string): Promise<boolean> {
  const mine = ++asked;
  const there = useDocuments.getState().open.find(({ file }) => file.path === path);
  if (there) {
    activate(there.id);
    openDialog(null);
    return true;
  }
  try {
    const found = await api.open(path);
    if (mine !== asked) return true; // something else was asked for meanwhile
    open(fromServer(found));
    openDialog(null);
    void tellDraft(path);
    return true;
  } catch (error) {
    sayError(error);
    return false;
  }
}

/** Where there are unsaved changes to a file that was opened as it was saved, lead there. */
async function tellDraft(path: string): Promise<void> {
  const isOpen = ({ id }: Draft) => useDocuments.getState().open.some(({ draft }) => draft === id);
  await keepNow();
  const draft = (await allDrafts()).find((found) => found.path === path && !isOpen(found));
  if (draft)
    say("There are unsaved changes to this file", "plain", {
      label: "Open them",
      run: () => void openDraft(draft.id),
    });
}

/** Show unsaved changes: the document that has them open, or a new one. */
export async function openDraft(id: string): Promise<boolean> {
  const mine = ++asked;
  const there = useDocuments.getState().open.find(({ draft }) => draft === id);
  if (there) activate(there.id);
  else {
    try {
      const draft = await draftOf(id);
      if (mine !== asked) return true;
      if (!draft) {
        say("There are no such unsaved changes in this browser any more", "bad");
        return false;
      }
      knowDraft(open(fromDraft(draft)), draft.revision);
    } catch (error) {
      sayError(error);
      return false;
    }
  }
  openDialog(null);
  return true;
}

/** Show what an address names. */
export function openAddress(address: string): Promise<boolean> {
  const draft = draftIn(address);
  return draft === null ? openFile(address) : openDraft(draft);
}

const MOST_REMARKS = 4;

/** Show a workflow that the server found in a picture or a file that was sent; what differs in another program's is told. */
export function openExtracted(found: Document): OpenDocument {
  const opened = open(fromServer(found));
  found.remarks.slice(0, MOST_REMARKS).forEach((remark) => say(remark, "bad"));
  const more = found.remarks.length - MOST_REMARKS;
  if (more > 0) say(`${more} more remarks stand in the description of this workflow`, "bad");
  return opened;
}

/** Open what was dropped: a workflow, or a picture that carries one. */
export async function openDropped(file: File): Promise<void> {
  try {
    openExtracted(await api.extract(file));
    say(`Opened the workflow of ${file.name}`, "good");
  } catch (error) {
    if (error instanceof Refused && error.status === 422 && /\.json$/i.test(file.name)) {
      // It has mistakes of form: show it all the same, so that they can be mended here.
      try {
        openText(await file.text());
      } catch {
        // not even JSON
      }
    }
    sayError(error);
  }
}

/** Open a text that lies in no file. Throws SyntaxError where it is no workflow. */
export const openText = (text: string, run: number | null = null): OpenDocument =>
  open({ doc: readTelling(text), run });

export function newWorkflow(): void {
  asked++; // a file that is still on its way stays away
  if (!isUntouched(activeDocument())) open({ doc: EMPTY });
  openDialog(null);
}

/** Close a document. Its unsaved changes stay on the start page, and a message leads back. */
export function closeDocument(id: DocumentId = activeDocument().id): void {
  const document = documentOf(id);
  if (!document || isUntouched(document)) {
    if (useDocuments.getState().open.length > 1) close(id);
    return;
  }
  const back = close(id);
  const kept = isDirty(document) ? "; its unsaved changes are kept on the start page" : "";
  if (back) say(`Closed "${nameOf(document)}"${kept}`, "plain", { label: "Undo", run: back });
}

/** Documents whose file is being written. */
export const saving = new Set<DocumentId>();

export async function saveFile(id: DocumentId = activeDocument().id): Promise<void> {
  const { path, shipped, etag } = documentOf(id)?.file ?? { path: "", shipped: false, etag: "" };
  if (path === "" || shipped) openDialog("save");
  else await saveAs(path, { id, etag });
}

interface Saving {
  readonly id?: DocumentId;
  /** The content that it may write over; where there is another, the server refuses. */
  readonly etag?: string;
  readonly overwrite?: boolean;
}

/** Write a document; the server puts it in canonical form. Tells whether it was written, or another file is there. */
export async function saveAs(
  path: string,
  { id = activeDocument().id, etag = "", overwrite = false }: Saving = {},
): Promise<"saved" | "taken" | "failed"> {
  const doc = documentOf(id)?.history.present;
  if (!doc) return "failed";
  saving.add(id);
  try {
    const saved = await api.save(path, write(doc), etag, overwrite);
    setFile(id, { path: saved.path, etag: saved.etag, shipped: saved.shipped, saved: doc, elsewhere: null });
    say(`Saved ${saved.path}`, "good");
    void keepNow();
    return "saved";
  } catch (error) {
    if (error instanceof Refused && error.status === 409) {
      if (documentOf(id)?.file.path === path) {
        setFile(id, { elsewhere: "changed" });
        say("Not saved: the file was changed elsewhere", "bad");
      }
      return "taken";
    }
    sayError(error);
    return "failed";
  } finally {
    saving.delete(id);
  }
}

/** A document that this tab had open: with its unsaved changes, else as its file is. */
async function reopened({ draft, path, run }: Tab): Promise<(Opening & { revision: string | null }) | null> {
  try {
    const kept = await draftOf(draft);
    if (kept) return { ...fromDraft(kept), run, revision: kept.revision };
    if (path === "") return { doc: EMPTY, draft, revision: null };
    return { ...fromServer(await api.open(path)), draft, run, revision: null };
  } catch (error) {
    sayError(error);
    return null;
  }
}

/** What the page opens with: what this tab had open, what the address names, or a graph that shows a picture at once. */
export async function openFirst(): Promise<void> {
  let before = asked;
  const session = readSession();
  await takeOverDrafts().catch(sayError);
  const found = await Promise.all(session.tabs.map(reopened));
  const openings = found.filter((opening) => opening !== null);
  const shown = openings.findIndex((opening) => opening === found[session.active]);
  const own = useDocuments.getState().open.filter((document) => !isUntouched(document));
  const documents = restore(openings, Math.max(0, shown), own);
  documents.forEach((document, i) => {
    const revision = openings[i]?.revision;
    if (revision) knowDraft(document, revision);
  });
  if (documents.some(isDirty)) say("Your unsaved changes are back");
  const address = addressShown();
  const named = documents.find((document) => addressOf(document) === address);
  if (named) activate(named.id);
  if (named) return;
  if (address !== "") {
    if (await openAddress(address)) return;
    before = asked;
  }
  if (documents.length > 0) return;
  const entries = await api.workflows().catch(() => []);
  if (asked !== before || !isUntouched(activeDocument())) return; // somebody has begun already
  const first =
    entries.find((entry) => entry.path === "shipped/sample.json") ??
    entries.find((entry) => entry.shipped && !entry.problem);
  const isOpen = first !== undefined && (await openFile(first.path));
  const drafts = await allDrafts().catch(() => []);
  if (!isOpen || drafts.length > 0) openDialog("start");
}
