/** The dialog that is open, and the small ones. */
import { useState } from "react";
import { ALSO, GROUPS, SHORTCUTS } from "../canvas/shortcuts";
import { activeOf, useDocuments } from "../state/documents";
import { useEditor } from "../state/editor";
import { openFile, saveAs } from "../state/files";
import { openDialog, useUi } from "../state/ui";
import { ChartDialog } from "./Chart";
import { CompareDialog } from "./Compare";
import { ExportDialog } from "./ExportDialog";
import { keysOf } from "../state/keymap";
import { t, tr } from "../strings";
import { Frame } from "./Frame";
import { SettingsDialog } from "./Settings";
import { StartPage } from "./StartPage";
import { SweepDialog } from "./SweepDialog";

export function Dialogs() {
  const dialog = useUi((state) => state.dialog);
  switch (dialog) {
    case "start":
      return <StartPage />;
    case "save":
      return <SaveDialog />;
    case "export":
      return <ExportDialog />;
    case "shortcuts":
      return <ShortcutsDialog />;
    case "settings":
      return <SettingsDialog />;
    case "chart":
      return <ChartDialog />;
    case "compare":
      return <CompareDialog />;
    case "sweep":
      return <SweepDialog />;
    case null:
      return null;
  }
}

function SaveDialog() {
  const title = useEditor((state) => state.doc.title);
  const file = useDocuments((state) => activeOf(state).file);
  const path = file.shipped ? "" : file.path;
  const [taken, setTaken] = useState("");
  const suggested =
    path.replace(/^workflows\//, "").replace(/\.json$/, "") ||
    title
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 40);
  const [name, setName] = useState(suggested || "workflow");
  const target = `workflows/${name.replace(/\.json$/, "")}.json`;
  const save = async (overwrite = false) => {
    const result = await saveAs(target, { overwrite });
    if (result === "saved") openDialog(null);
    if (result === "taken") setTaken(target);
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
        {taken === target ? (
          <div className="notice" role="alert">
            <p>
              <b>{taken}</b> exists already. Choose another name, or
            </p>
            <span className="notice-actions">
              <button
                type="button"
                className="small-button"
                onClick={() => {
                  openDialog(null);
                  void openFile(taken);
                }}
              >
                Open it
              </button>
              <button type="button" className="small-button" onClick={() => void save(true)}>
                Overwrite it
              </button>
            </span>
          </div>
        ) : null}
      </form>
    </Frame>
  );
}

function ShortcutsDialog() {
  return (
    <Frame title={t("Shortcuts")} wide>
      <div className="shortcuts">
        {GROUPS.map((group) => (
          <section key={group}>
            <h3>{tr(group)}</h3>
            <dl>
              {SHORTCUTS.filter((shortcut) => shortcut.group === group).map((shortcut) => (
                <Row key={shortcut.label} label={shortcut.label} keys={keysOf(shortcut)} />
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
      <dt>{tr(label)}</dt>
      <dd>
        {keys.map((key) => (
          <kbd key={key}>{key.replace("Arrow", "")}</kbd>
        ))}
      </dd>
    </div>
  );
}
