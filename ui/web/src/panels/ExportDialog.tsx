/** The graph to take away: its workflow as JSON, a Python script, its picture as SVG or PNG, on the clipboard or as a file. */
import { Copy, Download } from "lucide-react";
import { useState } from "react";
import { selectedIds } from "../state/editor";
import { download, toClipboard, type Kind } from "../state/export";
import { Frame } from "./Frame";

const KINDS: readonly { kind: Kind; name: string; about: string }[] = [
  { kind: "json", name: "JSON", about: "The workflow. Dropped on a canvas, it opens." },
  { kind: "py", name: "Python", about: "A plain script that computes the same without the engine." },
  { kind: "svg", name: "SVG", about: "The graph as a drawing that stays sharp and can be edited." },
  { kind: "png", name: "PNG", about: "The graph as a picture, for mail and documents." },
];

export function ExportDialog() {
  const [some] = useState(() => selectedIds().length > 0);
  const [selection, setSelection] = useState(false);
  return (
    <Frame title="Export the graph">
      <ul className="exports">
        {KINDS.map(({ kind, name, about }, i) => (
          <li key={kind}>
            <b>{name}</b>
            <small>{about}</small>
            <button
              {...(i === 0 ? { "data-focus": true } : {})}
              className="small-button"
              aria-label={`Save as ${name}`}
              onClick={() => void download(kind, selection)}
            >
              <Download size={13} aria-hidden /> Save
            </button>
            <button
              className="small-button"
              aria-label={`Copy as ${name}`}
              onClick={() => void toClipboard(kind, selection)}
            >
              <Copy size={13} aria-hidden /> Copy
            </button>
          </li>
        ))}
      </ul>
      <label className="export-some">
        <input
          type="checkbox"
          checked={selection}
          disabled={!some}
          onChange={(event) => setSelection(event.target.checked)}
        />
        Draw the selection alone (SVG, PNG)
      </label>
    </Frame>
  );
}
