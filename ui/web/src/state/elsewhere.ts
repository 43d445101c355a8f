/** What others make of the files that are open here: told, never taken over unasked. */
import { api } from "../server/api";
import { read } from "../document/codec";
import { documentOf, open, replace, setFile, useDocuments, type DocumentId } from "./documents";
import { saving } from "./files";
import { useRuns } from "./runs";
import { sayError } from "./ui";

export const GONE = "gone";

/** Compare the open files with those on the server. */
async function look(): Promise<void> {
  const own = useDocuments.getState().open.filter(({ file }) => file.path !== "" && !file.shipped);
  if (own.length === 0) return;
  let stamps: Readonly<Record<string, string>>;
  try {
    stamps = await api.stamps([...new Set(own.map(({ file }) => file.path))]);
  } catch {
    return; // the server is away: the page says so, and looks again when it is back
  }
  for (const { id, file } of own) {
    const now = documentOf(id)?.file;
    // What was written from here meanwhile is nobody else's change.
    if (!now || now.path !== file.path || now.etag !== file.etag || saving.has(id)) continue;
    const stamp = stamps[file.path] ?? "";
    const elsewhere = stamp === file.etag ? null : stamp || GONE;
    if (now.elsewhere !== elsewhere) setFile(id, { elsewhere });
  }
}

export function startLooking(): void {
  useRuns.subscribe((state, before) => {
    if (state.workflowsChanged !== before.workflowsChanged || (state.online && !before.online)) void look();
  });
  void look();
}

/** Put the file's content in the document's place, as a step that can be undone. */
export async function takeOther(id: DocumentId): Promise<void> {
  const path = documentOf(id)?.file.path;
  if (!path) return;
  try {
    const found = await api.open(path);
    const { doc } = read(found.text);
    replace(id, "Take the file's version", doc);
    setFile(id, { etag: found.etag, saved: doc, elsewhere: null });
  } catch (error) {
    sayError(error);
  }
}

/** Open the file's content beside the document, as one of its own that is in no file. */
export async function openOther(path: string): Promise<void> {
  try {
    const { doc } = read((await api.open(path)).text);
    open({ doc: { ...doc, title: `${doc.title || path} (the other version)` } });
  } catch (error) {
    sayError(error);
  }
}
