/** Dialogs in the middle of the page: one frame for all, and the small ones. */
import { X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ALSO, SHORTCUTS, type Shortcut } from "../canvas/shortcuts";
import { useEditor } from "../state/editor";
import { saveAs } from "../state/files";
import { openDialog, useUi } from "../state/ui";
import { ChartDialog } from "./Chart";
import { CompareDialog } from "./Compare";
import { StartPage } from "./StartPage";

export function Dialogs() {
  const dialog = useUi((state) => state.dialog);
  switch (dialog) {
    case "start":
      return <StartPage />;
    case "save":
      return <SaveDialog />;
    case "shortcuts":
      return <ShortcutsDialog />;
    case "chart":
      return <ChartDialog />;
    case "compare":
      return <CompareDialog />;
    case null:
      return null;
  }
}

export function Frame({
  title,
  wide,
  children,
}: {
  title: string;
  wide?: boolean;
  children: React.ReactNode;
}) {
  const box = useRef<HTMLDialogElement>(null);
  const close = () => openDialog(null);
  useEffect(() => {
    box.current?.showModal();
    // A modal dialog focuses its first button, which closes it; what wants the focus says so.
    box.current?.querySelector<HTMLElement>("[data-focus]")?.focus();
  }, []);
  return (
    <dialog
      ref={box}
      className={`dialog${wide ? " wide" : ""}`}
      aria-label={title}
      onClose={close}
      onPointerDown={(event) => event.target === event.currentTarget && close()}
    >
      <header className="side-head">
        <h2>{title}</h2>
        <button className="icon-button" aria-label="Close" onClick={close}>
          <X size={15} />
        </button>
      </header>
      <div className="dialog-body" tabIndex={0}>
        {children}
      </div>
    </dialog>
  );
}

function SaveDialog() {
  const title = useEditor((state) => state.doc.title);
  const path = useEditor((state) => (state.file.shipped ? "" : state.file.path));
  const suggested =
    path.replace(/^workflows\//, "").replace(/\.json$/, "") ||
    title
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 40);
  const [name, setName] = useState(suggested || "workflow");
  const save = async () => {
    if (await saveAs(`workflows/${name.replace(/\.json$/, "")}.json`)) openDialog(null);
  };
  return (
    <Frame title="Save the workflow">
      <form
        className="save-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label>
          <span>workflows /</span>
          <input
            data-focus
            aria-label="File name"
            value={name}
            onChange={(event) => setName(event.target.value)}
            onFocus={(event) => event.target.select()}
          />
          <span>.json</span>
        </label>
        <button className="run-button" type="submit" disabled={name.trim() === ""}>
          Save
        </button>
      </form>
    </Frame>
  );
}

function ShortcutsDialog() {
  const groups: Shortcut["group"][] = ["Run", "Edit", "Nodes", "View", "File"];
  return (
    <Frame title="Shortcuts" wide>
      <div className="shortcuts">
        {groups.map((group) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>
              {SHORTCUTS.filter((shortcut) => shortcut.group === group).map((shortcut) => (
                <Row key={shortcut.label} label={shortcut.label} keys={shortcut.keys} />
              ))}
              {ALSO.filter((also) => also.group === group).map((also) => (
                <Row key={also.label} label={also.label} keys={[also.keys]} />
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Frame>
  );
}

function Row({ label, keys }: { label: string; keys: readonly string[] }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {keys.map((key) => (
          <kbd key={key}>{key.replace("Arrow", "")}</kbd>
        ))}
      </dd>
    </div>
  );
}
