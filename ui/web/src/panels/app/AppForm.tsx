/** What is typed in: the workflow's own words, its exposed parameters as fields, and the buttons that run and stop it. */
import { CircleAlert, Play } from "lucide-react";
import { lazy, Suspense } from "react";
import { RUN } from "../../canvas/shortcuts";
import { exposedOf } from "../../document/stages";
import { joined } from "../../document/document";
import type { Problem } from "../../server/types";
import { runApp } from "../../state/app";
import { useEditor } from "../../state/editor";
import { isLive } from "../../state/runAge";
import { useRuns } from "../../state/runs";
import { useProblems } from "../../state/validation";
import { t } from "../../strings";
import { ParameterHelp } from "../ParameterHelp";
import { RunStatus, StopButton } from "../RunStatus";

/** Markdown, as in notes; it comes when it is wanted. */
const NoteText = lazy(() => import("../../canvas/NoteText"));

export function AppForm() {
  const doc = useEditor((state) => state.doc);
  const cards = useEditor((state) => state.cards);
  const fields = exposedOf(doc, cards);
  return (
    <section className="app-form" aria-label={t("Parameters")}>
      {doc.about ? (
        <div className="app-about">
          <Suspense fallback={doc.about}>
            <NoteText text={doc.about} />
          </Suspense>
        </div>
      ) : null}
      {fields.length === 0 ? (
        <p className="quiet">{t("This workflow exposes no parameters: expose some on the canvas.")}</p>
      ) : null}
      {fields.map(({ node, slot, name }) => (
        <ParameterHelp key={joined(node, slot.handle)} node={node} slot={slot} called={name} />
      ))}
      <Problems />
      <Buttons />
    </section>
  );
}

function Problems() {
  const exposed = useEditor((state) => state.doc.exposed.params);
  const errors = useProblems((state) => state.problems).filter(({ severity }) => severity === "error");
  const nameOf = ({ node, port }: Problem): string =>
    (Object.entries(exposed).find(([, ref]) => ref === joined(node, port))?.[0] ?? node).replaceAll("_", " ");
  if (errors.length === 0) return null;
  return (
    <ul className="app-problems" role="alert">
      {errors.map((problem, i) => (
        <li key={i}>
          <CircleAlert size={13} aria-hidden />
          <span>
            <b>{nameOf(problem)}</b> {problem.message} {problem.remedy}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Buttons() {
  const run = useRuns((state) => (state.view.run === null ? undefined : state.runs[state.view.run]));
  const online = useRuns((state) => state.online);
  const stuck = useProblems((state) => state.problems.some(({ severity }) => severity === "error"));
  const live = isLive(run) ? run : undefined;
  return (
    <div className="app-buttons">
      <button
        className="run-button"
        disabled={!online || stuck}
        data-tip="text|Run; again for one more in the queue"
        data-shortcut={RUN}
        onClick={() => void runApp()}
      >
        <Play size={14} aria-hidden /> {t(live ? "Queue" : "Run")}
      </button>
      {live ? <StopButton run={live} /> : null}
      <RunStatus run={live} />
      {run?.status === "failed" ? <p className="run-error">{run.error}</p> : null}
    </div>
  );
}
