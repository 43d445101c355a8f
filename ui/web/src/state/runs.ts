/** Runs: what the server's queue holds, and the one that the canvas shows. */
import { create } from "zustand";
import { api, Refused, type SubmitOptions } from "../server/api";
import { Live } from "../server/live";
import type { About, Run, RunEvent, Worker } from "../server/types";
import { read, write } from "../document/codec";
import {
  activate,
  activeDocument,
  documentOf,
  editDocument,
  setRun,
  useDocuments,
  type DocumentId,
  type OpenDocument,
} from "./documents";
import { isLive, isOld } from "./runAge";
import { beginView, follow, NO_RUN, type RunView } from "./runView";
import { takeNodes } from "./plugins";
import { reveal } from "./seen";
import { say, sayError, showPanel } from "./ui";

interface RunsState {
  readonly online: boolean;
  readonly about: About | null;
  readonly runs: Readonly<Record<number, Run>>;
  readonly workers: readonly Worker[];
  readonly view: RunView;
  /** Whether runs that are over were told of. */
  readonly history: boolean;
  /** Counts how often the list of workflows changed. */
  readonly workflowsChanged: number;
}

export const useRuns = create<RunsState>()(() => ({
  online: false,
  about: null,
  runs: {},
  workers: [],
  view: NO_RUN,
  history: false,
  workflowsChanged: 0,
}));

const { getState, setState } = useRuns;

/** Runs sent from this page, and by which document: when the one that it shows is over, it shows the next of them. */
const mine = new Map<number, DocumentId>();

/** Events wait here and are taken in together, a few times a second at most. */
let waiting: RunEvent[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  timer = undefined;
  const events = waiting;
  waiting = [];
  if (events.length > 0) setState((state) => ({ view: follow(state.view, events) }));
}

/** Take in summaries, whichever way they came; the end of the run that is shown is told. */
function takeRuns(all: readonly Run[]): void {
  const known = getState().runs;
  const list = all.filter((run) => !isOld(run, known[run.run]));
  setState((state) => ({
    runs: { ...state.runs, ...Object.fromEntries(list.map((run) => [run.run, run])) },
  }));
  for (const run of list) {
    if (run.run === getState().view.run && isLive(known[run.run]) && !isLive(run)) tellEnd(run);
  }
}

const live = new Live({
  opened(about, queue) {
    const before = getState().about;
    setState({ online: true, about, workers: queue.workers });
    if (about.notice && before?.boot !== about.boot) say(about.notice, "bad");
    takeRuns([...queue.running, ...queue.queued]);
    void api.history().then((past) => {
      setState({ history: true }); // first: who looks for a document's run looks when runs come in
      takeRuns(past);
    }, sayError);
    if (before && before.boot !== about.boot) {
      setState((state) => ({ view: state.view.run === null ? NO_RUN : beginView(state.view.run, NO_RUN) }));
    }
  },
  closed: () => setState({ online: false }),
  runs(list) {
    takeRuns(list);
    for (const run of list) {
      const document = run.status === "running" ? documentOf(mine.get(run.run) ?? -1) : undefined;
      if (document && !isLive(getState().runs[document.run ?? -1])) setRun(document.id, run.run);
    }
  },
  removed: (gone) =>
    setState((state) => ({
      runs: Object.fromEntries(Object.entries(state.runs).filter(([id]) => !gone.includes(Number(id)))),
    })),
  workers: (workers) => setState({ workers }),
  events(run, events) {
    if (run !== getState().view.run) return;
    waiting.push(...events);
    timer ??= setTimeout(flush, 40);
  },
  caughtUp: () => undefined,
  nodes: () => void takeNodes(),
  workflows: () => setState((state) => ({ workflowsChanged: state.workflowsChanged + 1 })),
});

function tellEnd(run: Run): void {
  const { id } = activeDocument();
  const go = () => {
    activate(id);
    reveal(run.node);
  };
  const show = run.node ? { label: "Show", run: go } : undefined;
  if (run.status === "failed") say(run.error || "The run failed", "bad", show);
  if (run.status === "interrupted")
    say(`The server ended during run ${run.run}; run again to go on from its checkpoint`, "bad");
  if (run.status === "stopped")
    say(
      run.error
        ? "Stopped by force. Run again to go on from its last checkpoint."
        : "Stopped. Run again to go on from there.",
    );
}

export const startLive = () => live.open();

/** Show a run on the canvas, in the document that is shown: its progress, pictures and curves. */
export const watch = (run: number | null) => setRun(activeDocument().id, run);

function followRun(run: number | null, before: RunView): void {
  const { view } = getState();
  if (view.run === run) return;
  if (view.run !== null) live.unfollow(view.run);
  waiting = [];
  setState({ view: run === null ? NO_RUN : beginView(run, before) });
  if (run !== null) live.follow(run);
}

/** The run of this title that goes on, or else the last that was done, for a document that shows none yet. */
function ownRun({ history }: OpenDocument): number | null {
  const own = Object.values(getState().runs).filter((run) => run.title === history.present.title);
  const newest = own.sort((a, b) => b.run - a.run);
  return (own.find(isLive) ?? newest.find((run) => run.status === "done"))?.run ?? null;
}

/** Show the run of the document that is shown; one that is opened shows the run of its title that goes on, or the last one's results. */
export function startWatching(): void {
  const looked = new Set<DocumentId>();
  let shown: DocumentId | null = null;
  const look = () => {
    const { id, run } = activeDocument();
    if (!looked.has(id) && getState().history) {
      looked.add(id);
      const own = run ?? ownRun(activeDocument());
      if (own !== run) {
        setRun(id, own); // and so looks again
        return;
      }
    }
    followRun(run, id === shown ? getState().view : NO_RUN);
    shown = id;
  };
  useDocuments.subscribe(look);
  useRuns.subscribe((state, before) => {
    if (state.runs !== before.runs && !looked.has(activeDocument().id)) look();
  });
  look();
}

/** Send the document that is shown off to run. True where the server took it. */
export async function submit(options: SubmitOptions = {}): Promise<boolean> {
  const { id, history } = activeDocument();
  try {
    const run = await api.submit(write(history.present), options);
    takeRuns([run]);
    mine.set(run.run, id);
    const shown = documentOf(id)?.run ?? null;
    if (shown === null || !isLive(getState().runs[shown])) setRun(id, run.run);
    else if (shown !== run.run) say(`Run ${run.run} waits in the queue`);
    return true;
  } catch (error) {
    if (error instanceof Refused && error.problems.length > 0) {
      showPanel("problems");
      say("This cannot run yet: see what is marked", "bad");
    } else sayError(error);
    return false;
  }
}

/** Let the trainings of the document that is shown begin where a run's ended: one step to undo, and then to run. */
export async function goOn(run: number): Promise<void> {
  const { id, history } = activeDocument();
  try {
    const { text } = await api.goOn(write(history.present), run);
    const { nodes } = read(text).doc;
    editDocument(id, `Go on from run ${run}`, (doc) => ({ ...doc, nodes }));
    say(`Trainings now begin where run ${run} ended. Set what should be another, more steps too, and run.`);
  } catch (error) {
    sayError(error);
  }
}

/** Take all that waits out of the queue. */
export async function clearQueue(): Promise<void> {
  try {
    takeRuns(await api.clear());
  } catch (error) {
    sayError(error);
  }
}

/** Put a run that waits at another position of the queue, 1 being next. */
export async function move(run: number, position: number): Promise<void> {
  try {
    takeRuns(await api.reorder(run, position));
  } catch (error) {
    sayError(error);
  }
}

export async function cancel(run: number, force = false): Promise<void> {
  try {
    takeRuns([await api.cancel(run, force)]);
  } catch (error) {
    sayError(error);
  }
}

/** The run that Escape and the stop button mean: the one that is shown, or the one that runs. */
export function liveRun(state = getState()): Run | undefined {
  const shown = state.view.run === null ? undefined : state.runs[state.view.run];
  return isLive(shown) ? shown : Object.values(state.runs).find((run) => run.status === "running");
}

/** Take older runs into the list. */
export async function moreRuns(): Promise<void> {
  const oldest = Math.min(...Object.keys(getState().runs).map(Number));
  takeRuns(await api.history(50, oldest));
}

/** Delete the record of a run, and its files. */
export async function forget(run: number): Promise<void> {
  try {
    await api.remove(run);
  } catch (error) {
    sayError(error);
  }
}
