/** Folders and files of the machine that the server runs on, where a workflow may read: chosen, or sent there. */
import { ChevronUp, File, Folder as FolderIcon, HardDrive, Upload } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api, fileUrl } from "../server/api";
import type { FileEntry, Folder, Port } from "../server/types";
import { sayError } from "../state/ui";

export type PathKind = NonNullable<Port["path"]>;

interface Props {
  readonly kind: PathKind;
  /** The folder to begin in. */
  readonly at: string;
  readonly pick: (path: string) => void;
  readonly close: () => void;
}

export function FolderPicker({ kind, at, pick, close }: Props) {
  const [folder, setFolder] = useState(at);
  const [found, setFound] = useState<Folder | null>(null);
  useEffect(() => {
    let current = true;
    api.browse(folder).then(
      (told) => current && setFound(told),
      (error: unknown) => {
        if (!current) return;
        if (folder !== "") setFolder("");
        else sayError(error);
      },
    );
    return () => {
      current = false;
    };
  }, [folder]);
  return (
    <div
      className="picker nowheel"
      role="group"
      aria-label={found ? `Files of ${found.host}` : "Files of the server"}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Escape") close();
      }}
    >
      <div
        className="picker-host"
        data-tip="text|The machine that the server runs on. Paths are of its disks."
      >
        <HardDrive size={12} aria-hidden />
        <b>{found?.host ?? "…"}</b>
        <span className="picker-places">
          {found?.places.map((place) => (
            <button key={place.path} className="small-button" onClick={() => setFolder(place.path)}>
              {place.name}
            </button>
          ))}
        </span>
      </div>
      <div className="picker-head">
        <button
          className="field-button"
          aria-label="Up"
          disabled={found?.parent === null || found === null}
          onClick={() => setFolder(found?.parent ?? "")}
        >
          <ChevronUp size={13} />
        </button>
        <span className="picker-folder" title={found?.path}>
          {found?.path || "workspace"}
        </span>
        {kind === "file" ? null : (
          <button className="small-button" disabled={!found} onClick={() => pick(found?.path || ".")}>
            Use this
          </button>
        )}
        {kind === "folder" ? null : <Send pick={pick} />}
      </div>
      <Entries
        entries={found?.entries ?? []}
        kind={kind}
        open={(entry) => (entry.kind === "folder" ? setFolder(entry.path) : pick(entry.path))}
      />
    </div>
  );
}

function Entries({
  entries,
  kind,
  open,
}: {
  entries: readonly FileEntry[];
  kind: PathKind;
  open: (entry: FileEntry) => void;
}) {
  const shown = entries.filter((entry) => kind !== "folder" || entry.kind === "folder");
  const pictures = entries.filter((entry) => entry.media.startsWith("image/")).length;
  return (
    <>
      <ul className="picker-list">
        {shown.map((entry) => (
          <li key={entry.path}>
            <button className="picker-entry" onClick={() => open(entry)}>
              {entry.kind === "folder" ? (
                <FolderIcon size={12} aria-hidden />
              ) : entry.url && entry.media.startsWith("image/") ? (
                <img src={fileUrl(entry.path, 48)} alt="" loading="lazy" />
              ) : (
                <File size={12} aria-hidden />
              )}
              <span>{entry.name}</span>
            </button>
          </li>
        ))}
      </ul>
      {kind === "folder" ? (
        <p className="picker-foot">
          {pictures === 0 ? "No pictures right in here" : `${pictures} pictures right in here`}
        </p>
      ) : null}
    </>
  );
}

/** Sends a file of the reader's own machine to the server, and picks it. */
function Send({ pick }: { pick: (path: string) => void }) {
  const chooser = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        className="field-button"
        aria-label="Upload a file"
        data-tip="text|Send a file from your own machine there"
        onClick={() => chooser.current?.click()}
      >
        <Upload size={13} />
      </button>
      <input
        ref={chooser}
        type="file"
        hidden
        aria-label="Upload"
        onChange={(event) => {
          const file = event.target.files?.[0];
          if (file) api.upload(file).then((entry) => pick(entry.path), sayError);
        }}
      />
    </>
  );
}
