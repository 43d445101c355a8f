/** The open documents, each a tab: which is shown, which hold unsaved changes, whose file was changed by others. */
import { Plus, TriangleAlert, X } from "lucide-react";
import { useEffect, useRef } from "react";
import {
  activate,
  isDirty,
  nameOf,
  useDocuments,
  type DocumentId,
  type OpenDocument,
} from "../state/documents";
import { closeDocument, newWorkflow } from "../state/files";
import { useUi, type MenuItem } from "../state/ui";
import { t } from "../strings";
import { IconButton } from "../widgets/IconButton";

export function Tabs() {
  const open = useDocuments((state) => state.open);
  const active = useDocuments((state) => state.active);
  return (
    <nav className="tabs" aria-label={t("Open workflows")}>
      <ul>
        {open.map((document) => (
          <Tab key={document.id} document={document} shown={document.id === active} />
        ))}
      </ul>
      <IconButton label={t("New workflow")} tip="New" shortcut="New" run={newWorkflow}>
        <Plus size={15} />
      </IconButton>
    </nav>
  );
}

function Tab({ document, shown }: { document: OpenDocument; shown: boolean }) {
  const row = useRef<HTMLLIElement>(null);
  const name = nameOf(document);
  const { path, elsewhere } = document.file;
  useEffect(() => {
    const tab = row.current;
    // Where it is the only one it is in view, and the page need not be laid out to know it.
    if (shown && tab?.parentElement?.children.length !== 1)
      tab?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [shown]);
  return (
    <li
      ref={row}
      className={`tab${shown ? " on" : ""}`}
      onMouseDown={(event) => {
        if (event.button === 1) event.preventDefault(); // no scrolling by a middle click
      }}
      onAuxClick={(event) => {
        if (event.button === 1) closeDocument(document.id);
      }}
      onContextMenu={(event) => {
        event.preventDefault();
        useUi.setState({ menu: { at: [event.clientX, event.clientY], items: tabItems(document.id) } });
      }}
    >
      <button
        className="tab-name"
        aria-current={shown ? "page" : undefined}
        data-tip={`text|${path || t("Never saved")}`}
        onClick={() => activate(document.id)}
      >
        {isDirty(document) ? <i className="dirty" role="img" aria-label={t("Unsaved changes")} /> : null}
        {elsewhere === null ? null : <TriangleAlert size={12} aria-label={t("Changed elsewhere")} />}
        <span>{name}</span>
      </button>
      <button
        className="tab-close"
        aria-label={t("Close {name}", { name })}
        onClick={() => closeDocument(document.id)}
      >
        <X size={13} />
      </button>
    </li>
  );
}

function tabItems(id: DocumentId): (MenuItem | null)[] {
  const { open } = useDocuments.getState();
  const others = open.filter((document) => document.id !== id);
  const clean = open.filter((document) => !isDirty(document));
  const closeAll = (documents: readonly OpenDocument[]) =>
    documents.forEach((document) => closeDocument(document.id));
  return [
    { label: "Close", shortcut: "Close the workflow", run: () => closeDocument(id) },
    { label: "Close the others", disabled: others.length === 0, run: () => closeAll(others) },
    { label: "Close those without changes", disabled: clean.length === 0, run: () => closeAll(clean) },
  ];
}
