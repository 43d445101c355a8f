/** A file or folder of the workspace: typed, picked or uploaded; a picture is shown. */
import { ChevronUp, File, Folder, FolderOpen, Upload } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api } from "../server/api";
import type { FileEntry, Port } from "../server/types";
import { sayError } from "../state/ui";
import type { FieldProps } from "./field";

type PathKind = NonNullable<Port["path"]>;

export function PathField({ label, name, tip, value, isSet, change, kind }: FieldProps & { kind: PathKind }) {
  const [open, setOpen] = useState(false);
  const path = typeof value === "string" ? value : "";
  return (
    <div className={`path nodrag${isSet ? " set" : ""}`}>
      <div className="field text" data-tip={tip}>
        <span className="field-label">{label}</span>
        <input
          className="field-input"
          aria-label={name}
          spellCheck={false}
          placeholder={`no ${kind}`}
          value={path}
          onChange={(event) => change(event.target.value, "typing")}
          onKeyDown={(event) => {
            if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
          }}
        />
        <button
          className="field-button"
          aria-label={`Choose ${name}`}
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          <FolderOpen size={13} />
        </button>
      </div>
      {open ? (
        <Picker
          kind={kind}
          at={kind === "folder" || path === "" ? path : path.split("/").slice(0, -1).join("/")}
          pick={(chosen) => {
            change(chosen);
            setOpen(false);
          }}
        />
      ) : null}
    </div>
  );
}

/** A list of what lies in a folder of the workspace. */
function Picker({ kind, at, pick }: { kind: PathKind; at: string; pick: (path: string) => void }) {
  const [folder, setFolder] = useState(at);
  const [entries, setEntries] = useState<FileEntry[]>([]);
  const [round, setRound] = useState(0);
  const chooser = useRef<HTMLInputElement>(null);
  useEffect(() => {
    let current = true;
    api.files(folder).then(
      (found) => current && setEntries(found),
      (error: unknown) => {
        if (current && folder !== "") setFolder("");
        else sayError(error);
      },
    );
    return () => {
      current = false;
    };
  }, [folder, round]);
  const upload = (file: File | undefined) => {
    if (!file) return;
    api.upload(file).then((entry) => pick(entry.path), sayError);
    setRound(round + 1);
  };
  return (
    <div className="picker nowheel" role="group" aria-label="Workspace">
      <div className="picker-head">
        <button
          className="field-button"
          aria-label="Up"
          disabled={folder === ""}
          onClick={() => setFolder(folder.split("/").slice(0, -1).join("/"))}
        >
          <ChevronUp size={13} />
        </button>
        <span className="picker-folder">{folder || "workspace"}</span>
        {kind === "file" ? null : (
          <button className="small-button" onClick={() => pick(folder)}>
            Use this
          </button>
        )}
        {kind === "folder" ? null : (
          <button
            className="field-button"
            aria-label="Upload a file"
            onClick={() => chooser.current?.click()}
          >
            <Upload size={13} />
          </button>
        )}
        <input
          ref={chooser}
          type="file"
          hidden
          aria-label="Upload"
          onChange={(event) => upload(event.target.files?.[0])}
        />
      </div>
      <ul className="picker-list">
        {entries
          .filter((entry) => kind !== "folder" || entry.kind === "folder")
          .map((entry) => (
            <li key={entry.path}>
              <button
                className="picker-entry"
                onClick={() => (entry.kind === "folder" ? setFolder(entry.path) : pick(entry.path))}
              >
                {entry.kind === "folder" ? <Folder size={12} /> : <File size={12} />}
                <span>{entry.name}</span>
              </button>
            </li>
          ))}
      </ul>
    </div>
  );
}
