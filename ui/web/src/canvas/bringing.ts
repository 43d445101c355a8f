/** Pictures, folders of them and workflows that are dropped on the sheet or on a node, pasted, or chosen from the disk. */
import type { Id } from "../document/document";
import { addLoader, setParameter } from "../commands";
import { sorted, withinFolder, type Named } from "../document/bringing";
import { pathPort, picturePortOf } from "../document/pictures";
import { Refused, api } from "../server/api";
import { shownSheet, selectedIds, useEditor } from "../state/editor";
import { openDropped, openExtracted } from "../state/files";
import { here, type Spot } from "../state/flow";
import { send, type Sent } from "../state/uploads";
import { say, sayError } from "../state/ui";

export interface BroughtFile extends Named {
  readonly file: File;
}

const named = (file: File, path = file.webkitRelativePath || file.name): BroughtFile => ({
  file,
  path,
  type: file.type,
});

/** All files of a drop, those in folders too. Must be called while the drop is handled: what it holds is gone later. */
export async function filesOf(data: DataTransfer): Promise<BroughtFile[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry());
  const loose = [...data.files];
  if (!entries.some((entry) => entry?.isDirectory)) return loose.map((file) => named(file));
  const found = await Promise.all(entries.filter((entry) => entry !== null).map(filesIn));
  return found.flat();
}

async function filesIn(entry: FileSystemEntry): Promise<BroughtFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((take, fail) => (entry as FileSystemFileEntry).file(take, fail));
    return [named(file, entry.fullPath.replace(/^\//, ""))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    // A reader tells a hundred at a time, and no more when all are told.
    const some = await new Promise<FileSystemEntry[]>((take, fail) => reader.readEntries(take, fail));
    if (some.length === 0) break;
    children.push(...some);
  }
  return (await Promise.all(children.map(filesIn))).flat();
}

/** Do what a person means with files: on a node fill it, on the sheet open a workflow or load pictures. */
export async function bring(files: readonly BroughtFile[], spot: Spot, node: Id | null): Promise<void> {
  const { workflows, pictures, captions, others, folder } = sorted(files);
  for (const { file } of workflows) await openDropped(file);
  try {
    if (pictures.length > 1 || (folder !== "" && pictures.length > 0))
      await bringFolder([...pictures, ...captions], folder, spot, node);
    else if (pictures[0]) await bringOne(pictures[0], spot, node);
    else if (workflows.length === 0 && others[0]) await openDropped(others[0].file);
  } catch (error) {
    sayError(error);
  }
}

async function bringOne({ file }: BroughtFile, spot: Spot, node: Id | null): Promise<void> {
  const { doc, kinds } = useEditor.getState();
  const sheet = shownSheet();
  const port = node === null ? null : picturePortOf(doc, kinds, node);
  const load = async () => {
    const { path } = await api.keepPicture(file, file.name);
    if (node !== null && port) setParameter(node, port.name, path, undefined, sheet);
    else if (addLoader("image", path, spot.sheet, spot.zone) === null)
      say("No node here loads a picture", "bad");
  };
  const found = port ? null : await workflowIn(file);
  if (!found) return load();
  await openExtracted(found);
  say(`Opened the workflow of ${file.name}`, "good", {
    label: "Load it as a picture",
    run: () => void load().catch(sayError),
  });
}

/** The workflow that a picture carries; null where it carries none. */
async function workflowIn(file: File) {
  if (!/png/i.test(file.type) && !/\.png$/i.test(file.name)) return null;
  try {
    return await api.extract(file);
  } catch (error) {
    if (error instanceof Refused && error.status !== 0) return null;
    throw error;
  }
}

async function bringFolder(
  files: readonly BroughtFile[],
  folder: string,
  spot: Spot,
  node: Id | null,
): Promise<void> {
  const { doc, kinds, catalog } = useEditor.getState();
  const sheet = shownSheet();
  const spec = node === null ? undefined : kinds.specs(doc)(doc.nodes[node]?.type ?? "");
  const port = spec ? pathPort(catalog, spec, "dataset") : null;
  const made = await api.newFolder(folder || "pictures");
  const sent = await send(
    files.map(({ file, path }) => ({ file, name: withinFolder(path, folder) })),
    made.path,
  );
  tell(sent, made.path);
  if (sent.paths.length === 0) return;
  if (node !== null && port) setParameter(node, port.name, made.path, undefined, sheet);
  else if (addLoader("dataset", made.path, spot.sheet, spot.zone) === null)
    say("No node here reads a folder of pictures", "bad");
}

function tell({ paths, refused }: Sent, folder: string): void {
  const [first] = refused;
  if (!first) say(`${paths.length} files are in ${folder}`, "good");
  else {
    const all = paths.length + refused.length;
    say(`${paths.length} of ${all} files came into ${folder}. ${first.name}: ${first.why}`, "bad");
  }
}

/** Pasted pictures fill the one node that is selected, where it takes a picture; else they come under the pointer. */
export function pasteFiles(files: readonly File[]): Promise<void> {
  const [chosen, ...more] = selectedIds();
  return bring(
    files.map((file) => named(file)),
    here(),
    chosen !== undefined && more.length === 0 ? chosen : null,
  );
}

/** Let a person choose pictures, or a folder of them, from their own disk. */
export function choose(folder: boolean, spot: Spot, node: Id | null): void {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  if (folder) input.webkitdirectory = true;
  else input.accept = "image/*";
  input.onchange = () =>
    void bring(
      [...(input.files ?? [])].map((file) => named(file)),
      spot,
      node,
    );
  input.click();
}

/** The node that lies at a place of the screen; null where that is the sheet, or a zone's ground. */
export const nodeUnder = (target: EventTarget | null): Id | null =>
  target instanceof Element
    ? (target.closest<HTMLElement>(".react-flow__node-card")?.dataset.id ?? null)
    : null;
