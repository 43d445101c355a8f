/** Problems of the document, asked of the server after every change; answers that were overtaken are dropped. */
import { create } from "zustand";
import { api } from "../server/api";
import type { Calls, Problem } from "../server/types";
import type { Doc, Id } from "../document/document";
import { print } from "../document/json";
import { changedLiterals } from "../document/literals";
import { activeDocument } from "./documents";
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

/** More literals than these, in characters, the server does not take apart from their document. */
const LONGEST = 2 ** 16;
/** What was checked whole last, and the server's name for it: of what is edited then, literals alone are sent. */
let whole: { readonly mark: string; readonly doc: Doc } | undefined;

async function found(signal: AbortSignal): Promise<Calls["validate"]["answer"]> {
  const doc = activeDocument().history.present;
  const literals = whole && changedLiterals(whole.doc, doc);
  const text = literals ? print(literals) : "";
  if (whole && literals && text.length < LONGEST) {
    const again = await api.revalidate(whole.mark, text, signal);
    if (again) return again;
  }
  const answer = await api.validate(textOf(doc), signal);
  whole = answer.mark ? { mark: answer.mark, doc } : undefined;
  return answer;
}

function ask(changed: number): void {
  running?.abort();
  const own = new AbortController();
  running = own;
  found(own.signal).then(
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
