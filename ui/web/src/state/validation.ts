/** Problems of the document, asked of the server after every change; answers that were overtaken are dropped. */
import { create } from "zustand";
import { api } from "../server/api";
import type { Problem } from "../server/types";
import type { Id } from "../document/document";
import { textOf, useEditor } from "./editor";
import { grouped } from "./seen";

interface Validity {
  readonly problems: readonly Problem[];
  readonly byNode: ReadonlyMap<Id, readonly Problem[]>;
  /** Milliseconds from the last change to its marks. */
  readonly took: number;
}

const NONE: Validity = { problems: [], byNode: new Map(), took: 0 };
export const useProblems = create<Validity>()(() => NONE);

/** Changes that follow each other faster than this, in milliseconds, are asked about together; a single one at once. */
const PAUSE = 25;
let timer: ReturnType<typeof setTimeout> | undefined;
let running: AbortController | undefined;

function ask(changed: number): void {
  running?.abort();
  const own = new AbortController();
  running = own;
  api.validate(textOf(), own.signal).then(
    ({ problems }) => {
      if (own.signal.aborted) return;
      useProblems.setState({ problems, byNode: grouped(problems), took: performance.now() - changed });
    },
    () => undefined, // overtaken, or the server is away: the marks stay as they are
  );
}

/** More that was found out about the document as it is; the next answer replaces all. */
export function addProblems(more: readonly Problem[]): void {
  const problems = [...useProblems.getState().problems, ...more];
  useProblems.setState({ problems, byNode: grouped(problems) });
}

export function startValidation(): void {
  let last = -Infinity;
  const changed = () => {
    const now = performance.now();
    clearTimeout(timer);
    // The server is at work while the change is drawn here.
    if (now - last > PAUSE) ask(now);
    else timer = setTimeout(() => ask(now), PAUSE);
    last = now;
  };
  useEditor.subscribe((state, before) => {
    const { doc } = state;
    if (state.document === before.document && state.path !== before.path) {
      const { problems } = useProblems.getState();
      useProblems.setState({ byNode: grouped(problems) });
    }
    if (state.document !== before.document) {
      // What was found out about another document is not said of this one.
      running?.abort();
      useProblems.setState(NONE);
      changed();
    } else if (
      doc.nodes !== before.doc.nodes ||
      doc.exposed !== before.doc.exposed ||
      doc.definitions !== before.doc.definitions
    )
      changed();
  });
  changed();
}
