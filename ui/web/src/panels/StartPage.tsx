/** Where to begin: an example, one's own workflows, what was not saved, or an empty sheet. */
import { FilePlus2, Upload } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api } from "../server/api";
import type { Discarded as Gone, WorkflowEntry } from "../server/types";
import { newWorkflow, openDropped } from "../state/files";
import { useRuns } from "../state/runs";
import { openDialog, sayError } from "../state/ui";
import { Frame } from "./Frame";
import { byFolder } from "../state/shelf";
import { Discarded } from "./Discarded";
import { Drafts } from "./Drafts";
import { Entries } from "./Entries";

export function StartPage() {
  const changed = useRuns((state) => state.workflowsChanged);
  const [entries, setEntries] = useState<WorkflowEntry[]>([]);
  const [gone, setGone] = useState<Gone[]>([]);
  const [wrong, setWrong] = useState("");
  const chooser = useRef<HTMLInputElement>(null);
  useEffect(() => {
    api.workflows().then(setEntries, sayError);
    api.discarded().then(setGone, sayError);
  }, [changed]);
  const own = entries.filter((entry) => !entry.shipped);
  const told = (error: unknown) => setWrong(error instanceof Error ? error.message : String(error));
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
        {wrong ? (
          <p className="notice" role="alert">
            {wrong}
          </p>
        ) : null}
        <Drafts />
        {own.length > 0 ? (
          <section>
            <h3>Your workflows</h3>
            {byFolder(own).map(([folder, inside]) => (
              <div key={folder} role="group" aria-label={folder || "In no folder"}>
                {folder ? <h4 className="folder-name">{folder.replaceAll("/", " / ")}</h4> : null}
                <Entries entries={inside} all={entries} told={told} />
              </div>
            ))}
          </section>
        ) : null}
        <Discarded gone={gone} told={told} />
        <section>
          <h3>Examples</h3>
          <Entries entries={shipped} all={entries} told={told} />
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
