/** Workflow files as cards: opened by a click, and renamed, moved to a folder, copied or deleted by the buttons beside. */
import { AppWindow, Copy, FileWarning, Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { api, appUrl } from "../server/api";
import type { WorkflowEntry } from "../server/types";
import { openFile } from "../state/files";
import { copyFile, renameFile, shortPath } from "../state/shelf";
import { IconButton } from "../widgets/IconButton";
import { Sketch } from "./Sketch";

interface Props {
  entries: readonly WorkflowEntry[];
  /** All there are: what a copy may not be called. */
  all: readonly WorkflowEntry[];
  /** Says why something could not be done. */
  told: (error: unknown) => void;
}

export function Entries({ entries, all, told }: Props) {
  const [renaming, setRenaming] = useState<string | null>(null);
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
            <small>{entry.problem || entry.about || shortPath(entry.path)}</small>
          </button>
          <Tools
            entry={entry}
            rename={() => setRenaming(entry.path)}
            copy={() => void copyFile(entry, all).catch(told)}
            discard={() => void api.discard(entry.path).catch(told)}
          />
          {renaming === entry.path ? (
            <Rename entry={entry} told={told} close={() => setRenaming(null)} />
          ) : null}
        </li>
      ))}
    </ul>
  );
}

interface ToolsProps {
  entry: WorkflowEntry;
  rename: () => void;
  copy: () => void;
  discard: () => void;
}

function Tools({ entry, rename, copy, discard }: ToolsProps) {
  const name = entry.title || entry.name;
  return (
    <span className="entry-tools">
      {entry.problem ? null : (
        <a
          className="icon-button"
          href={appUrl(entry.path)}
          target="_blank"
          rel="noreferrer"
          aria-label={`App view of ${name}`}
          data-tip="text|App view: a plain form"
        >
          <AppWindow size={14} />
        </a>
      )}
      <IconButton label={`Duplicate ${name}`} tip="Duplicate" run={copy}>
        <Copy size={14} />
      </IconButton>
      {entry.shipped ? null : (
        <>
          <IconButton label={`Rename ${name}`} tip="Rename, or move to a folder" run={rename}>
            <Pencil size={14} />
          </IconButton>
          <IconButton label={`Delete ${name}`} tip="Delete; below it can be put back" run={discard}>
            <Trash2 size={14} />
          </IconButton>
        </>
      )}
    </span>
  );
}

function Rename({ entry, told, close }: { entry: WorkflowEntry; told: Props["told"]; close: () => void }) {
  const finish = (name: string) => {
    close();
    if (name.trim() !== "") renameFile(entry.path, name).catch(told);
  };
  return (
    <form
      className="entry-rename"
      onSubmit={(event) => {
        event.preventDefault();
        finish(new FormData(event.currentTarget).get("name") as string);
      }}
    >
      <label>
        Name; a slash makes a folder
        <input
          name="name"
          autoFocus
          spellCheck={false}
          aria-label={`New name of ${entry.name}`}
          defaultValue={shortPath(entry.path)}
          onFocus={(event) => event.target.select()}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key !== "Escape") return;
            event.preventDefault(); // the dialog stays
            close();
          }}
        />
      </label>
      <span>
        <button type="submit" className="small-button">
          Rename
        </button>
        <button type="button" className="small-button" onClick={close}>
          Cancel
        </button>
      </span>
    </form>
  );
}
