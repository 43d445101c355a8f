/**
 * The open documents: the one place that holds them, each with its own history and file. What is drawn (state/editor.ts),
 * kept in the browser (state/keeping.ts) and told in the address (state/address.ts) follows from here.
 */
import { create } from "zustand";
import { EMPTY, type Doc, type Edit } from "../document/document";
import { begin, record, redo, undo, type History } from "./history";

/** Names a document on this page, from its opening to its closing. */
export type DocumentId = number;

export interface File {
  /** Where it lies on the server; empty when it was never saved. */
  readonly path: string;
  /** Names the content that the document began with, or was last written as. */
  readonly etag: string;
  readonly shipped: boolean;
  /** The document as the file holds it; null when no file does, or it is not known. */
  readonly saved: Doc | null;
  /** What others made of the file meanwhile: another content, or "gone"; null where it is as it was. */
  readonly elsewhere: string | null;
}

export interface OpenDocument {
  readonly id: DocumentId;
  readonly history: History<Doc>;
  readonly file: File;
  /** Names its unsaved changes in the browser's storage. */
  readonly draft: string;
  /** The run that it shows. */
  readonly run: number | null;
}

interface Documents {
  /** In the order of their tabs; never empty. */
  readonly open: readonly OpenDocument[];
  readonly active: DocumentId;
}

export const NO_FILE: File = { path: "", etag: "", shipped: false, saved: null, elsewhere: null };

let count = 0;

// randomUUID exists only on safe origins: a server reached by http has none.
const freshDraft = (): string =>
  [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join("");

export interface Opening {
  readonly doc: Doc;
  readonly file?: Partial<File>;
  readonly draft?: string;
  readonly run?: number | null;
}

const opened = ({ doc, file, draft, run }: Opening): OpenDocument => ({
  id: ++count,
  history: begin(doc),
  file: { ...NO_FILE, ...file },
  draft: draft ?? freshDraft(),
  run: run ?? null,
});

export const useDocuments = create<Documents>()(() => {
  const first = opened({ doc: EMPTY });
  return { open: [first], active: first.id };
});

const { getState, setState } = useDocuments;

export const activeOf = ({ open, active }: Documents): OpenDocument => {
  const found = open.find((document) => document.id === active);
  if (!found) throw new Error("No document is open");
  return found;
};
export const activeDocument = (): OpenDocument => activeOf(getState());
export const documentOf = (id: DocumentId): OpenDocument | undefined =>
  getState().open.find((document) => document.id === id);

const isBlank = (doc: Doc): boolean =>
  doc.title === "" &&
  doc.about === "" &&
  [doc.nodes, doc.places, doc.definitions].every((part) => Object.keys(part).length === 0);

/** Whether a document holds what no file does. */
export const isDirty = ({ history: { present }, file }: OpenDocument): boolean =>
  file.path === "" ? !isBlank(present) : present !== file.saved;

/** Whether nothing was ever done with a document: another may take its place. */
export const isUntouched = ({ history, file }: OpenDocument): boolean =>
  file.path === "" && history.past.length === 0 && history.future.length === 0 && isBlank(history.present);

/** What a person calls it. */
export const nameOf = ({ history, file }: OpenDocument): string =>
  history.present.title || file.path.replace(/^.*\//, "").replace(/\.json$/, "") || "Untitled workflow";

/** Open a document beside the active one, or in the place of an untouched one, and show it. */
export function open(opening: Opening): OpenDocument {
  const made = opened(opening);
  const { open: all } = getState();
  const active = activeDocument();
  const at = all.indexOf(active) + 1;
  setState({
    open: [...all.slice(0, isUntouched(active) ? at - 1 : at), made, ...all.slice(at)],
    active: made.id,
  });
  return made;
}

/** Begin with these documents instead of the first, empty one. `own`: those that somebody made meanwhile stay, and in view. */
export function restore(
  openings: readonly Opening[],
  shown: number,
  own: readonly OpenDocument[] = [],
): readonly OpenDocument[] {
  const all = openings.map(opened);
  const active = own.find(({ id }) => id === getState().active) ?? all[shown] ?? all[0];
  if (active) setState({ open: [...all, ...own], active: active.id });
  return all;
}

export function activate(id: DocumentId): void {
  if (!documentOf(id) || getState().active === id) return;
  finishTyping();
  setState({ active: id });
}

/** Show the document so many tabs to the right, round and round. */
export function step(by: number): void {
  const { open: all } = getState();
  const at = all.indexOf(activeDocument());
  const next = all[(at + by + all.length) % all.length];
  if (next) activate(next.id);
}

/** Take a document off the page. Gives a way back, with its history, to where it was. */
export function close(id: DocumentId): (() => void) | null {
  if (getState().active === id) finishTyping();
  const { open: all, active } = getState();
  const at = all.findIndex((document) => document.id === id);
  const gone = all[at];
  if (!gone) return null;
  const left = all.filter((document) => document !== gone);
  const rest = left.length > 0 ? left : [opened({ doc: EMPTY })];
  const neighbour = rest[Math.min(at, rest.length - 1)];
  setState({ open: rest, active: active === id && neighbour ? neighbour.id : active });
  return () => {
    if (documentOf(id)) return;
    finishTyping();
    const others = getState().open.filter((document) => !isUntouched(document));
    setState({ open: [...others.slice(0, at), gone, ...others.slice(at)], active: id });
  };
}

/** A value that is being typed belongs to the document that is shown now: let its field take it. */
function finishTyping(): void {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

function change(id: DocumentId, next: (before: OpenDocument) => Partial<OpenDocument>): void {
  setState(({ open: all }) => ({
    open: all.map((document) => (document.id === id ? { ...document, ...next(document) } : document)),
  }));
}

/** Change a document, shown or not: one step to undo, or part of the one before when `key` is the same. */
export function editDocument(id: DocumentId, label: string, edit: Edit, key: string | null = null): void {
  const found = documentOf(id);
  if (!found) return;
  const next = record(found.history, edit(found.history.present), label, key, performance.now());
  if (next !== found.history) change(id, () => ({ history: next }));
}

/** Put another content in a document's place, as one step that can be undone. */
export function replace(id: DocumentId, label: string, doc: Doc): void {
  change(id, ({ history }) => ({ history: record(history, doc, label, null, performance.now()) }));
}

export const undoIn = (id: DocumentId) => change(id, ({ history }) => ({ history: undo(history) }));
export const redoIn = (id: DocumentId) => change(id, ({ history }) => ({ history: redo(history) }));
export const setFile = (id: DocumentId, file: Partial<File>) =>
  change(id, (before) => ({ file: { ...before.file, ...file } }));
export const setDraft = (id: DocumentId, draft: string) => change(id, () => ({ draft }));
export const setRun = (id: DocumentId, run: number | null) => change(id, () => ({ run }));
export const newDraft = freshDraft;
