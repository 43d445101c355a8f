/** Where to begin: an example, one's own workflows, what was not saved, or an empty sheet. */
import { AppWindow, FilePlus2, FileWarning, Upload } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api } from "../server/api";
import type { WorkflowEntry } from "../server/types";
import { newWorkflow, openDropped, openFile } from "../state/files";
import { useRuns } from "../state/runs";
import { openDialog, sayError } from "../state/ui";
import { Frame } from "./Frame";
import { Drafts } from "./Drafts";
import { Sketch } from "./Sketch";

export function StartPage() {
  const changed = useRuns((state) => state.workflowsChanged);
  const [entries, setEntries] = useState<WorkflowEntry[]>([]);
  const chooser = useRef<HTMLInputElement>(null);
  useEffect(() => {
    api.workflows().then(setEntries, sayError);
  }, [changed]);
  const own = entries.filter((entry) => !entry.shipped).sort((a, b) => b.modified - a.modified);
  const shipped = entries.filter((entry) => entry.shipped).sort((a, b) => rank(a) - rank(b));
  return (
    <Frame title="Open a workflow" wide>
      <div className="start">
        <div className="start-actions">
          <button className="start-action" onClick={newWorkflow}>
            <FilePlus2 size={18} aria-hidden />
            <b>Empty sheet</b>
          </button>
          <button className="start-action" onClick={() => chooser.current?.click()}>
            <Upload size={18} aria-hidden />
            <b>From a file or picture</b>
          </button>
          <input
            ref={chooser}
            type="file"
            hidden
            aria-label="A workflow or a picture that carries one"
            accept=".json,.png"
            onChange={(event) => {
              const file = event.target.files?.[0];
              if (file) void openDropped(file).then(() => openDialog(null));
            }}
          />
        </div>
        <Drafts />
        {own.length > 0 ? (
          <section>
            <h3>Your workflows</h3>
            <Entries entries={own} />
          </section>
        ) : null}
        <section>
          <h3>Examples</h3>
          <Entries entries={shipped} />
        </section>
      </div>
    </Frame>
  );
}

const FIRST = ["sample", "quickstart"];

/** What draws at once and the training behind it first, then what has a picture. */
const rank = (entry: WorkflowEntry): number =>
  FIRST.includes(entry.name)
    ? FIRST.indexOf(entry.name) - FIRST.length
    : entry.thumbnail
      ? 1
      : entry.problem
        ? 3
        : 2;

function Entries({ entries }: { entries: readonly WorkflowEntry[] }) {
  return (
    <ul className="entries">
      {entries.map((entry) => (
        <li key={entry.path}>
          <button className="entry" onClick={() => void openFile(entry.path)}>
            <span className="entry-picture">
              {entry.thumbnail ? (
                <img src={entry.thumbnail} alt="" loading="lazy" />
              ) : entry.problem ? (
                <FileWarning size={28} aria-hidden />
              ) : (
                <Sketch path={entry.path} modified={entry.modified} />
              )}
            </span>
            <b>{entry.title || entry.name}</b>
            <small>{entry.problem || entry.about}</small>
          </button>
          {entry.problem ? null : (
            <a
              className="icon-button entry-app"
              href={entry.app}
              target="_blank"
              rel="noreferrer"
              aria-label={`App view of ${entry.title || entry.name}`}
              data-tip="text|App view: a plain form"
            >
              <AppWindow size={14} />
            </a>
          )}
        </li>
      ))}
    </ul>
  );
}
