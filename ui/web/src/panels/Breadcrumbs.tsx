/** The way into a definition, above its sheet: each step leads back. */
import { ChevronRight, LogOut } from "lucide-react";
import { leaveTo } from "../commands";
import { titleOf } from "../document/cards";
import { activeOf, nameOf, useDocuments } from "../state/documents";
import { useEditor } from "../state/editor";
import { showPanel } from "../state/ui";

export function Breadcrumbs() {
  const path = useEditor((state) => state.path);
  const workflow = useDocuments((state) => nameOf(activeOf(state)));
  if (path.length === 0) return null;
  return (
    <nav className="breadcrumbs" aria-label="Way into the definition">
      <ol>
        <li>
          <button onClick={() => leaveTo(0)}>{workflow}</button>
        </li>
        {path.map(({ use, definition }, i) => (
          <li key={i}>
            <ChevronRight size={13} aria-hidden />
            <button
              aria-current={i === path.length - 1 ? "page" : undefined}
              data-tip={
                use === undefined
                  ? `text|The definition ${definition}`
                  : `text|${use}, a use of ${definition}`
              }
              onClick={() => (i === path.length - 1 ? showPanel("definitions") : leaveTo(i + 1))}
            >
              {titleOf(definition)}
              {use === undefined || use === definition ? null : <small>{titleOf(use)}</small>}
            </button>
          </li>
        ))}
      </ol>
      <button
        className="small-button"
        data-tip="text|Leave the definition"
        data-shortcut="Select nothing, or leave the definition"
        onClick={() => leaveTo()}
      >
        <LogOut size={13} aria-hidden /> Leave
      </button>
    </nav>
  );
}
