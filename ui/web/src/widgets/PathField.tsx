/** A file or folder of the workspace: typed, picked or uploaded; a picture is shown. */
import { FolderOpen } from "lucide-react";
import { useState } from "react";
import type { FieldProps } from "./field";
import { FolderPicker, type PathKind } from "./FolderPicker";

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
        <FolderPicker
          kind={kind}
          at={kind === "folder" || path === "" ? path : path.split("/").slice(0, -1).join("/")}
          close={() => setOpen(false)}
          pick={(chosen) => {
            change(chosen);
            setOpen(false);
          }}
        />
      ) : null}
    </div>
  );
}
