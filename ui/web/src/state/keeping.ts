/** Keeps every document's unsaved changes in the browser's storage, soon after each change, and says where it cannot. */
import { create } from "zustand";
import { write } from "../document/codec";
import type { Doc } from "../document/document";
import {
  isDirty,
  nameOf,
  setDraft,
  useDocuments,
  type DocumentId,
  type File,
  type OpenDocument,
} from "./documents";
import { dropDraft, keepDraft, leaveDraft, takeBack, type Draft } from "./drafts";
import { say } from "./ui";

interface Keeping {
  /** Why unsaved changes are not kept just now; empty where they are. */
  readonly trouble: string;
}

export const useKeeping = create<Keeping>()(() => ({ trouble: "" }));

/** What lies in the storage of a document: its revision, and what it was written from. Nothing: null. */
interface Kept {
  readonly revision: string | null;
  readonly doc: Doc | null;
  readonly file: File;
}

const known = new Map<DocumentId, Kept>();
const PAUSE = 250; // milliseconds
let timer: ReturnType<typeof setTimeout> | undefined;
let working: Promise<void> = Promise.resolve();

/** A document was opened from this draft. */
export function knowDraft({ id, history, file }: OpenDocument, revision: string): void {
  known.set(id, { revision, doc: history.present, file });
}

const isKept = (document: OpenDocument): boolean => {
  const { revision = null, doc = null, file = null } = known.get(document.id) ?? {};
  if (!isDirty(document)) return revision === null;
  return doc === document.history.present && file === document.file;
};

const draftFrom = (document: OpenDocument): Omit<Draft, "revision"> => ({
  id: document.draft,
  title: nameOf(document),
  path: document.file.path,
  etag: document.file.etag,
  shipped: document.file.shipped,
  time: Date.now(),
  text: write(document.history.present),
});

async function keep(document: OpenDocument): Promise<void> {
  const revision = known.get(document.id)?.revision ?? null;
  if (!isDirty(document)) {
    if (revision !== null) await dropDraft(document.draft, revision);
    known.delete(document.id);
    return;
  }
  const kept = await keepDraft(draftFrom(document), revision);
  takeBack(document.draft);
  known.set(document.id, { revision: kept.revision, doc: document.history.present, file: document.file });
  if (kept.id === document.draft) return;
  setDraft(document.id, kept.id);
  say(`"${nameOf(document)}" was changed in another tab too; this tab keeps its changes apart`);
}

/** Write what is not kept yet. */
async function keepAll(): Promise<void> {
  for (const document of useDocuments.getState().open) {
    if (isKept(document)) continue;
    try {
      await keep(document);
      if (useKeeping.getState().trouble) useKeeping.setState({ trouble: "" });
    } catch (error) {
      useKeeping.setState({ trouble: reason(error) });
    }
  }
}

const reason = (error: unknown): string =>
  error instanceof DOMException && error.name === "QuotaExceededError"
    ? "The browser's storage is full"
    : `The browser's storage cannot be written (${error instanceof Error ? error.message : String(error)})`;

/** Write now what is not kept yet; one writing after the other. */
export function keepNow(): Promise<void> {
  clearTimeout(timer);
  timer = undefined;
  working = working.then(keepAll);
  return working;
}

/** The page goes: what is not kept is left behind. Gives whether all of it could be. */
function leave(): boolean {
  let all = true;
  for (const document of useDocuments.getState().open) {
    if (!isDirty(document) || isKept(document)) continue;
    try {
      leaveDraft(draftFrom(document));
    } catch {
      all = false;
    }
  }
  return all;
}

export function startKeeping(): void {
  useDocuments.subscribe(({ open }, before) => {
    if (open === before.open) return;
    // A document that is closed keeps its draft.
    const closed = before.open.filter((document) => !open.some(({ id }) => id === document.id));
    if (closed.some((document) => !isKept(document))) working = working.then(() => keepClosed(closed));
    timer ??= setTimeout(() => void keepNow(), PAUSE);
  });
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => void keepNow());
  addEventListener("beforeunload", (event) => {
    if (!leave()) event.preventDefault(); // the browser asks whether to go
  });
}

async function keepClosed(documents: readonly OpenDocument[]): Promise<void> {
  for (const document of documents) {
    if (!isKept(document))
      await keep(document).catch((error: unknown) => useKeeping.setState({ trouble: reason(error) }));
  }
}
