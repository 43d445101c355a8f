/** What the bar of a narrow window has no room for, as a menu; and everywhere the settings and the plugins. */
import { Ellipsis } from "lucide-react";
import { saveFile } from "../state/files";
import { openDialog, setTheme, showPanel, useUi, type MenuItem, type Panel } from "../state/ui";
import { toggleViewer } from "../state/viewer";
import { t, tr } from "../strings";

const PANELS: readonly (readonly [Panel, string])[] = [
  ["node", "Node and documentation"],
  ["definitions", "Definitions and blueprints"],
  ["problems", "Problems"],
  ["cost", "Before the run: shapes and cost"],
  ["profile", "After the run: what each node took"],
  ["runs", "Runs"],
  ["gallery", "Gallery"],
];

function items(narrow: boolean): (MenuItem | null)[] {
  const { theme } = useUi.getState();
  const hidden: (MenuItem | null)[] = [
    ...PANELS.map(([panel, label]) => ({ label, run: () => showPanel(panel) })),
    null,
    { label: "Viewer beside the sheet", run: toggleViewer },
    { label: "Save", run: () => void saveFile() },
    { label: "Export", run: () => openDialog("export") },
    { label: "Find a node", run: () => useUi.setState({ finder: true }) },
    {
      label: theme === "dark" ? "Light theme" : "Dark theme",
      run: () => setTheme(theme === "dark" ? "light" : "dark"),
    },
    { label: "Shortcuts", run: () => openDialog("shortcuts") },
  ];
  return [
    ...(narrow ? hidden : []),
    { label: "Plugins", run: () => showPanel("plugins") },
    { label: "Settings", keys: "Ctrl ,", run: () => openDialog("settings") },
  ];
}

const NARROW = "(max-width: 760px)"; // as style/narrow.css

export function BarMenu() {
  return (
    <button
      className="icon-button bar-menu"
      aria-label={t("More")}
      aria-haspopup="menu"
      data-tip={`text|${tr("Plugins")}, ${tr("Settings")}`}
      onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const all = items(matchMedia(NARROW).matches);
        useUi.setState({ menu: { at: [box.right - 220, box.bottom + 4], items: all } });
      }}
    >
      <Ellipsis size={16} />
    </button>
  );
}
