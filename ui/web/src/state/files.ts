/** Files: opening, saving, and drafts that outlive a crash. */
import { api, Refused } from "../server/api";
import type { Document } from "../server/types";
import { EMPTY } from "../document/document";
import { write } from "../document/codec";
import { isDirty, setFile, show, showText, textOf, useEditor } from "./editor";
import { useRuns, watch } from "./runs";
import { openDialog, say, sayError } from "./ui";
import { frameAll, resetView } from "../canvas/flow";

let settling: ReturnType<typeof setTimeout> | undefined;

/** Look at the whole of what was opened, once it is drawn. */
export function settle(): void {
  clearTimeout(settling);
  settling = setTimeout(() => frameAll(0), 80);
}

/** Another document has no part in the run that is shown, unless it is the one that ran. */
function leaveRun(): void {
  const { view, runs } = useRuns.getState();
  const title = view.run === null ? undefined : runs[view.run]?.title;
  if (title !== useEditor.getState().doc.title) watch(null);
}

function take(found: Document): void {
  const notices = showText(found.text, {
    path: found.path,
    etag: found.etag,
    shipped: found.shipped,
    isSaved: found.path !== "",
  });
  notices.forEach((notice) => say(notice, "bad"));
  location.hash = found.path === "" ? "" : encodeURI(found.path);
  leaveRun();
  settle();
}

export async function openFile(path: string): Promise<boolean> {
  try {
    take(await api.open(path));
    openDialog(null);
    return true;
  } catch (error) {
    sayError(error);
    return false;
  }
}

/** Open what was dropped: a workflow, or a picture that carries one. */
export async function openDropped(file: File): Promise<void> {
  try {
    const found = await api.extract(file);
    take(found);
    say(`Opened the workflow of ${file.name}`, "good");
  } catch (error) {
    if (error instanceof Refused && error.status === 422 && /\.json$/i.test(file.name)) {
      // It has mistakes of form: show it all the same, so that they can be mended here.
      try {
        showText(await file.text());
        settle();
      } catch {
        // not even JSON
      }
    }
    sayError(error);
  }
}

export function newWorkflow(): void {
  clearTimeout(settling);
  show(EMPTY);
  leaveRun();
  resetView();
  location.hash = "";
  openDialog(null);
}

export async function saveFile(): Promise<void> {
  const { path, shipped, etag } = useEditor.getState().file;
  if (path === "" || shipped) openDialog("save");
  else await saveAs(path, etag, false);
}

/** Write the document; the server puts it in canonical form. True where it was written. */
export async function saveAs(path: string, etag = "", overwrite = false): Promise<boolean> {
  const { doc } = useEditor.getState();
  try {
    const saved = await api.save(path, write(doc), etag, overwrite);
    setFile({ path: saved.path, etag: saved.etag, shipped: saved.shipped, saved: doc });
    location.hash = encodeURI(saved.path);
    say(`Saved ${saved.path}`, "good");
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 409) {
      say("The file was changed elsewhere, or exists already", "bad", {
        label: "Overwrite",
        run: () => void saveAs(path, "", true),
      });
    } else sayError(error);
    return false;
  }
}

export interface Draft {
  readonly key: string;
  readonly title: string;
  readonly path: string;
  readonly etag: string;
  readonly shipped: boolean;
  readonly time: number;
  readonly text: string;
}

const PREFIX = "loom.draft.";
const KEPT = 12;

/** This tab's own draft: a reload finds it again, another tab has another. */
function ownKey(): string {
  let key = sessionStorage.getItem("loom.tab");
  if (!key) {
    // randomUUID exists only on safe origins: a server reached by http has none.
    key = crypto.getRandomValues(new Uint32Array(2)).join("-");
    sessionStorage.setItem("loom.tab", key);
  }
  return PREFIX + key;
}

export function drafts(): Draft[] {
  const found: Draft[] = [];
  for (let i = 0; i < localStorage.length; i++) {
    const key = localStorage.key(i) ?? "";
    if (!key.startsWith(PREFIX)) continue;
    try {
      found.push({ ...(JSON.parse(localStorage.getItem(key) ?? "") as Draft), key });
    } catch {
      localStorage.removeItem(key);
    }
  }
  return found.sort((a, b) => b.time - a.time);
}

function keepDraft(): void {
  const state = useEditor.getState();
  const key = ownKey();
  if (!isDirty(state)) {
    localStorage.removeItem(key);
    return;
  }
  const { path, etag, shipped } = state.file;
  const draft: Draft = { key, title: state.doc.title, path, etag, shipped, time: Date.now(), text: textOf() };
  try {
    localStorage.setItem(key, JSON.stringify(draft));
    drafts()
      .slice(KEPT)
      .forEach((old) => localStorage.removeItem(old.key));
  } catch {
    // the browser's storage is full: the file on the server is still there
  }
}

export function dropDraft(key: string): void {
  localStorage.removeItem(key);
}

export function openDraft(draft: Draft): void {
  showText(draft.text, { path: draft.path, etag: draft.etag, shipped: draft.shipped });
  if (draft.key !== ownKey()) localStorage.removeItem(draft.key);
  openDialog(null);
  settle();
}

export function startDrafts(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  useEditor.subscribe((state, before) => {
    if (state.doc === before.doc && state.file === before.file) return;
    clearTimeout(timer);
    timer = setTimeout(keepDraft, 400);
  });
  addEventListener("pagehide", keepDraft);
}

/** What the page opens with: this tab's unsaved changes, the file in the address, or the quickstart. */
export async function openFirst(): Promise<void> {
  const path = decodeURI(location.hash.slice(1));
  const own = drafts().find((draft) => draft.key === ownKey());
  if (own && (path === "" || own.path === path)) {
    openDraft(own);
    say("Your unsaved changes are back", "plain", { label: "Discard", run: () => void discardDraft(own) });
    return;
  }
  if (path !== "" && (await openFile(path))) return;
  const entries = await api.workflows().catch(() => []);
  const first =
    entries.find((entry) => entry.path === "shipped/quickstart.json") ??
    entries.find((entry) => entry.shipped && !entry.problem);
  if (!first || !(await openFile(first.path))) openDialog("start");
}

async function discardDraft(draft: Draft): Promise<void> {
  dropDraft(draft.key);
  if (draft.path === "" || !(await openFile(draft.path))) newWorkflow();
}
