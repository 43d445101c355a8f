/**
 * Unsaved changes in the browser's storage (IndexedDB), shared by all tabs of one server.
 *
 * A draft is written over only where it still is what the writer knows: each writing gives it a new revision, and who
 * brings an older one writes a draft of its own beside. So two tabs never overwrite each other's work.
 */
import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import { newDraft } from "./documents";

export interface Draft {
  readonly id: string;
  readonly revision: string;
  readonly title: string;
  readonly path: string;
  readonly etag: string;
  readonly shipped: boolean;
  /** When it was written, in ms. */
  readonly time: number;
  /** The workflow, as `codec.write` gives it. */
  readonly text: string;
}

interface Schema extends DBSchema {
  drafts: { key: string; value: Draft };
}

let opening: Promise<IDBPDatabase<Schema>> | undefined;

function storage(): Promise<IDBPDatabase<Schema>> {
  opening ??= openDB<Schema>("latent-loom", 1, {
    upgrade: (database) => void database.createObjectStore("drafts", { keyPath: "id" }),
    // Another version of the page, or the browser, needs it closed: the next call opens it again.
    blocking: (_current, _blocked, event) => {
      opening = undefined;
      (event.target as IDBDatabase).close();
    },
    terminated: () => (opening = undefined),
  }).catch((error: unknown) => {
    opening = undefined;
    throw error;
  });
  return opening;
}

/** All drafts, the newest first. */
export async function allDrafts(): Promise<Draft[]> {
  const found = await (await storage()).getAll("drafts");
  return found.sort((a, b) => b.time - a.time);
}

export async function draftOf(id: string): Promise<Draft | undefined> {
  return (await storage()).get("drafts", id);
}

/**
 * Write a draft over the revision that the writer knows, or, where another has been written meanwhile, beside it under
 * a new id. Gives what was written. Throws where the storage is full or not to be had.
 */
export async function keepDraft(draft: Omit<Draft, "revision">, known: string | null): Promise<Draft> {
  const transaction = (await storage()).transaction("drafts", "readwrite");
  const there = await transaction.store.get(draft.id);
  const free = there === undefined || there.revision === known;
  const kept: Draft = { ...draft, id: free ? draft.id : newDraft(), revision: newDraft() };
  await Promise.all([transaction.store.put(kept), transaction.done]);
  return kept;
}

/** Take a draft out, unless another revision than the one that is known was written meanwhile. */
export async function dropDraft(id: string, known: string): Promise<void> {
  const transaction = (await storage()).transaction("drafts", "readwrite");
  const there = await transaction.store.get(id);
  if (there?.revision === known) await transaction.store.delete(id);
  await transaction.done;
}

/*
 * A page that goes away cannot wait for IndexedDB. What is not written by then is left in localStorage, which is
 * written at once, and taken over by the next page. Version 0.1 kept all its drafts there, in the same form.
 */
const LEFT = "loom.draft.";
const page = newDraft();
const leftKey = (id: string): string => `${LEFT}${id}.${page}`;

/** Leave a draft for the next page. Throws where there is no room for it. */
export function leaveDraft(draft: Omit<Draft, "revision">): void {
  localStorage.setItem(leftKey(draft.id), JSON.stringify(draft));
}

/** This page stayed after all, and kept it. */
export const takeBack = (id: string): void => localStorage.removeItem(leftKey(id));

/** Take over what pages that went away have left. */
export async function takeOverDrafts(): Promise<void> {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(LEFT));
  for (const key of keys) {
    const left = readLeft(localStorage.getItem(key) ?? "");
    if (left) {
      const id = left.id ?? key.slice(LEFT.length);
      const there = await draftOf(id);
      // A draft that is newer than what was left is another page's: both stay.
      await keepDraft({ ...left, id }, there && there.time <= left.time ? there.revision : null);
    }
    localStorage.removeItem(key);
  }
}

function readLeft(text: string): (Omit<Draft, "revision" | "id"> & { id?: string }) | null {
  try {
    const found = JSON.parse(text) as Partial<Draft>;
    if (typeof found.text !== "string") return null;
    const { id, title = "", path = "", etag = "", shipped = false, time = 0 } = found;
    return { ...(id ? { id } : {}), title, path, etag, shipped, time, text: found.text };
  } catch {
    return null;
  }
}
