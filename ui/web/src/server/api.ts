/** The server's calls (ui/API.md). Addresses are relative, so that a proxy's prefix or a share link works. */
import type { Calls, Document, FileEntry, Problem, Refusal } from "./types";

/** The server said no, in a sentence for people. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly problems: readonly Problem[] = [],
  ) {
    super(message);
  }
}

async function answer<T>(request: Promise<Response>): Promise<T> {
  let response: Response;
  try {
    response = await request;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer. Is it still running?");
  }
  if (response.ok) return (await response.json()) as T;
  const body = (await response.json().catch(() => null)) as Partial<Refusal> | null;
  throw new Refused(
    response.status,
    body?.error ?? `The server answered ${response.status}`,
    body?.problems ?? [],
  );
}

type Name = keyof Calls;

function call<N extends Name>(
  name: N,
  args: Calls[N]["arguments"],
  signal?: AbortSignal,
): Promise<Calls[N]["answer"]> {
  return answer(
    fetch(`api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(args),
      ...(signal ? { signal } : {}),
    }),
  );
}

export type SubmitOptions = Omit<Calls["submit"]["arguments"], "workflow">;

export const api = {
  nodes: () => call("nodes", {}),
  usage: () => call("usage", {}),
  templates: () => call("templates", {}),
  plugins: () => call("plugins", {}),
  models: () => call("models", {}),
  hashModel: (path: string) => call("hash_model", { path }),
  reload: () => call("reload", {}),
  validate: (workflow: string, signal?: AbortSignal) => call("validate", { workflow, types: false }, signal),
  revalidate: (mark: string, literals: string, signal?: AbortSignal) =>
    call("revalidate", { mark, literals }, signal),
  estimate: (workflow: string, devices = 1, shard = false) => call("estimate", { workflow, devices, shard }),
  export: (workflow: string) => call("export", { workflow }),
  submit: (workflow: string, options: SubmitOptions = {}) => call("submit", { workflow, ...options }),
  goOn: (workflow: string, run: number) => call("go_on", { workflow, run }),
  clear: () => call("clear", {}),
  reorder: (run: number, position: number) => call("reorder", { run, position }),
  memory: () => call("memory", {}),
  cancel: (run: number, force = false) => call("cancel", { run, force }),
  history: (limit = 50, before = 0) => call("history", { limit, before }),
  run: (run: number) => call("run", { run }),
  outputs: (run: number) => call("outputs", { run }),
  metrics: (run: number, points = 2000) => call("metrics", { run, points }),
  profile: (run: number) => call("profile", { run }),
  remove: (run: number) => call("remove", { run }),
  workflows: () => call("workflows", {}),
  open: (path: string) => call("open", { path }),
  save: (path: string, workflow: string, etag: string, overwrite = false) =>
    call("save", { path, workflow, etag, overwrite }),
  stamps: (paths: string[]) => call("stamps", { paths }),
  duplicate: (path: string, to: string) => call("duplicate", { path, to }),
  move: (path: string, to: string) => call("move", { path, to }),
  discard: (path: string) => call("discard", { path }),
  discarded: () => call("discarded", {}),
  restore: (path: string) => call("restore", { path }),
  blueprints: () => call("blueprints", {}),
  saveBlueprint: (name: string, workflow: string, overwrite = false) =>
    call("save_blueprint", { name, workflow, overwrite }),
  discardBlueprint: (name: string) => call("discard_blueprint", { name }),
  files: (folder: string) => call("files", { folder }),
  browse: (folder: string) => call("browse", { folder }),
  newFolder: (name: string) => call("new_folder", { name }),
  gallery: (args: Calls["gallery"]["arguments"]) => call("gallery", args),
  plots: (path: string) => call("plots", { path }),
  favour: (path: string, favourite: boolean) => call("favour", { path, favourite }),
  throwAway: (path: string) => call("throw_away", { path }),
  bringBack: (path: string) => call("bring_back", { path }),
  /** Keep a picture; in a folder of `newFolder` under its own name, or a mask as greys. */
  keepPicture: (picture: Blob, name: string, { folder = "", mask = false } = {}) =>
    answer<FileEntry>(
      fetch(`pictures?${new URLSearchParams({ name, folder, mask: String(mask) })}`, {
        method: "POST",
        body: picture,
      }),
    ),
  upload: (file: File) =>
    answer<FileEntry>(fetch(`upload?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file })),
  extract: (file: Blob) => answer<Document>(fetch("extract", { method: "POST", body: file })),
};

/** The address of a workspace file; with a width, of its thumbnail. */
export const fileUrl = (path: string, width?: number): string =>
  `files/${path.split("/").map(encodeURIComponent).join("/")}${width ? `?width=${width}` : ""}`;

/** What the address of an app view begins with, after #. */
export const APP = "app/";
/** The address of a workflow's app view. */
export const appUrl = (path: string): string => `#${encodeURI(APP + path)}`;
