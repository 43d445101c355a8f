/** Every problem of the workflow, each a step from its node. */
import { CheckCircle2, CircleAlert, TriangleAlert } from "lucide-react";
import { titleOf } from "../document/cards";
import { useRuns } from "../state/runs";
import { isThere, reveal } from "../state/seen";
import { useProblems } from "../state/validation";

export function ProblemsPanel() {
  const problems = useProblems((state) => state.problems);
  const refused = useRuns((state) => state.view.problems);
  const all = [...problems, ...refused];
  const ordered = [...all].sort(
    (a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"),
  );
  if (ordered.length === 0) {
    return (
      <p className="nothing">
        <CheckCircle2 size={16} aria-hidden /> Nothing to mend
      </p>
    );
  }
  return (
    <ul className="problem-list">
      {ordered.map((problem, i) => {
        const id = problem.node;
        const known = isThere(id);
        return (
          <li key={`${problem.node}.${problem.port}.${problem.message}.${i}`} className={problem.severity}>
            <button disabled={!known} onClick={() => reveal(id)}>
              {problem.severity === "error" ? (
                <CircleAlert size={14} aria-label="error" />
              ) : (
                <TriangleAlert size={14} aria-label="warning" />
              )}
              <span>
                <b>
                  {id ? id.split("/").map(titleOf).join(" / ") : "the workflow"}
                  {problem.port ? <code>{problem.port}</code> : null}
                </b>
                {problem.message}
                {problem.remedy ? <em>{problem.remedy}</em> : null}
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
