/** Which documents this browser tab has open: a reload finds them again, each with its unsaved changes. */
import { useDocuments } from "./documents";

export interface Tab {
  readonly path: string;
  readonly draft: string;
  readonly run: number | null;
}
export interface Session {
  readonly tabs: readonly Tab[];
  readonly active: number;
}

const KEY = "loom.tabs";

export function readSession(): Session {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "") as Session;
    return Array.isArray(found.tabs) ? found : { tabs: [], active: 0 };
  } catch {
    return { tabs: [], active: 0 };
  }
}

export function startSession(): void {
  const write = () => {
    const { open, active } = useDocuments.getState();
    const tabs = open.map(({ file, draft, run }): Tab => ({ path: file.path, draft, run }));
    const session: Session = { tabs, active: open.findIndex(({ id }) => id === active) };
    try {
      sessionStorage.setItem(KEY, JSON.stringify(session));
    } catch {
      // no room: the drafts are on the start page all the same
    }
  };
  write();
  useDocuments.subscribe(write);
}
