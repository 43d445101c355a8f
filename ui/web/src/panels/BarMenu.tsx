/** What the bar of a narrow window has no room for, as a menu; and everywhere the models, the plugins and the settings. */
import { Ellipsis } from "lucide-react";
import { redoEdit, undoEdit } from "../state/editor";
import { saveFile } from "../state/files";
import { useRuns } from "../state/runs";
import {
  NARROW,
  openDialog,
  setTheme,
  showPanel,
  TABLET,
  useUi,
  type MenuItem,
  type Panel,
} from "../state/ui";
import { toggleViewer } from "../state/viewer";
import { t, tr } from "../strings";

/** The panels that have a button in the bar, by what it says; each panel's own head says it shorter. */
export const PANELS = {
  node: "Node and documentation",
  definitions: "Definitions and blueprints",
  problems: "Problems",
  cost: "Before the run: shapes and cost",
  profile: "After the run: what each node took",
  runs: "Runs",
  gallery: "Gallery",
} as const;

export type BarPanel = keyof typeof PANELS & Panel;

/** What the menu offers in a window so wide: in a narrow one all that the bar has no room for. */
export function barItems(width: number): (MenuItem | null)[] {
  const { theme } = useUi.getState();
  const file: MenuItem[] = [
    { label: "Save", run: () => void saveFile() },
    { label: "Export", run: () => openDialog("export") },
  ];
  const hidden: (MenuItem | null)[] = [
    ...(Object.keys(PANELS) as BarPanel[]).map((panel) => ({
      label: PANELS[panel],
      run: () => showPanel(panel),
    })),
    null,
    { label: "Undo", run: undoEdit },
    { label: "Redo", run: redoEdit },
    { label: "Viewer beside the sheet", run: toggleViewer },
    ...(width <= NARROW ? file : []),
    { label: "Find a node", run: () => useUi.setState({ finder: true }) },
    {
      label: theme === "dark" ? "Light theme" : "Dark theme",
      run: () => setTheme(theme === "dark" ? "light" : "dark"),
    },
    { label: "Shortcuts", run: () => openDialog("shortcuts") },
  ];
  const isFolded = width <= TABLET;
  const leave: MenuItem = { label: "Log out", run: () => location.assign("logout") };
  return [
    ...(isFolded ? hidden : []),
    { label: "Models", run: () => showPanel("models") },
    { label: "Plugins", run: () => showPanel("plugins") },
    { label: "Settings", shortcut: "Settings", run: () => openDialog("settings") },
    ...(isFolded && useRuns.getState().about?.login ? [null, leave] : []),
  ];
}

export function BarMenu() {
  return (
    <button
      className="icon-button bar-menu"
      aria-label={t("More")}
      aria-haspopup="menu"
      data-tip={`text|${tr("Models")}, ${tr("Plugins")}, ${tr("Settings")}`}
      onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const all = barItems(innerWidth);
        useUi.setState({ menu: { at: [box.right - 220, box.bottom + 4], items: all } });
      }}
    >
      <Ellipsis size={16} />
    </button>
  );
}
