/** The user's workflow files: other names and folders, copies, deleting with a way back. */
import { api } from "../server/api";
import type { WorkflowEntry } from "../server/types";
import { setFile, useDocuments } from "./documents";

const OWN = "workflows/";

/** A file's path as people name it: below the folder of the workflows, without its ending. */
export const shortPath = (path: string): string =>
  path.replace(/^(workflows|shipped)\//, "").replace(/\.json$/, "");

const pathOf = (name: string): string => `${OWN}${name.trim().replace(/\.json$/, "")}.json`;

/** The folder that a workflow lies in; empty for one that lies in none. */
export const folderOf = (path: string): string => shortPath(path).split("/").slice(0, -1).join("/");

/** Give a file another name, with slashes another folder; documents that have it open follow. */
export async function renameFile(path: string, name: string): Promise<void> {
  const to = pathOf(name);
  if (to === path) return;
  await api.move(path, to);
  for (const { id, file } of useDocuments.getState().open) if (file.path === path) setFile(id, { path: to });
}

/** A copy beside a file, or, of an example, among the user's. */
export async function copyFile({ path }: WorkflowEntry, entries: readonly WorkflowEntry[]): Promise<void> {
  const taken = new Set(entries.map((entry) => entry.path.toLowerCase()));
  const name = shortPath(path);
  let to = pathOf(`${name}-copy`);
  for (let i = 2; taken.has(to.toLowerCase()); i++) to = pathOf(`${name}-copy${i}`);
  await api.duplicate(path, to);
}

/** The user's workflows by their folders, those in none first; in each the newest first. */
export function byFolder(entries: readonly WorkflowEntry[]): [folder: string, entries: WorkflowEntry[]][] {
  const folders = new Map<string, WorkflowEntry[]>();
  for (const entry of entries.toSorted((a, b) => b.modified - a.modified)) {
    const folder = folderOf(entry.path);
    folders.set(folder, [...(folders.get(folder) ?? []), entry]);
  }
  return [...folders].sort(([a], [b]) => a.localeCompare(b));
}
