/** Every shortcut: what is pressed, what it says in the list, what it does. */
import { redoEdit, selectedIds, undoEdit } from "../state/editor";
import { cancel, liveRun } from "../state/runs";
import { run } from "../state/sending";
import { keysOf } from "../state/keymap";
import { holdSpace } from "./HandTool";
import {
  openDialog,
  say,
  setTheme,
  showPanel,
  toggleBoxing,
  toggleMinimap,
  togglePanel,
  useUi,
} from "../state/ui";
import { step } from "../state/documents";
import { startPainting, usePainting } from "../state/painting";
import { toggleViewer } from "../state/viewer";
import { closeDocument, newWorkflow, saveFile } from "../state/files";
import * as commands from "../commands";
import { frameAll, frameFirst, frameNodes, here, zoom } from "../state/flow";
import { DEFINITION_SHORTCUTS } from "./definitionMenus";
import { changeType, chooseColour, chooseZone, dissolve } from "./editMenu";
import { runTo } from "./menus";

export const GROUPS = ["Run", "Edit", "Nodes", "View", "File"] as const;

export interface Shortcut {
  readonly group: (typeof GROUPS)[number];
  readonly label: string;
  /** As shown, e.g. "Ctrl Shift Z". The last word is the key. */
  readonly keys: readonly string[];
  readonly run: () => void;
  /** Works while typing in a field as well. */
  readonly always?: boolean;
}

/** The label of the shortcut that runs what is shown. */
export const RUN = "Run (again: one more in the queue)";

const stop = () => {
  const run = liveRun();
  if (run) void cancel(run.run, run.status === "stopping");
};

export const SHORTCUTS: readonly Shortcut[] = [
  {
    group: "Run",
    label: RUN,
    keys: ["Ctrl Enter"],
    run: () => void run(),
    always: true,
  },
  {
    group: "Run",
    label: "Run to the selected nodes",
    keys: ["Ctrl Shift Enter"],
    run: () => runTo(selectedIds()),
    always: true,
  },
  {
    group: "Run",
    label: "Run, and stop at the first value that is no number (NaN)",
    keys: ["Ctrl Alt Enter"],
    run: () => void run({ check_numbers: true }),
    always: true,
  },
  {
    group: "Run",
    label: "Run, and measure what each node takes",
    keys: ["Ctrl Alt P"],
    run: () => {
      showPanel("profile");
      void run({ profile: true });
    },
    always: true,
  },
  { group: "Run", label: "Stop; again: by force", keys: ["Ctrl ."], run: stop, always: true },

  { group: "Edit", label: "Undo", keys: ["Ctrl Z"], run: undoEdit },
  { group: "Edit", label: "Redo", keys: ["Ctrl Shift Z", "Ctrl Y"], run: redoEdit },
  { group: "Edit", label: "Duplicate", keys: ["Ctrl D"], run: commands.duplicateSelection },
  { group: "Edit", label: "Delete", keys: ["Delete", "Backspace"], run: () => commands.remove() },
  {
    group: "Edit",
    label: "Delete, and join the wires",
    keys: ["Ctrl Delete", "Ctrl Backspace"],
    run: () => commands.removeAndJoin(),
  },
  { group: "Edit", label: "Select all", keys: ["Ctrl A"], run: commands.selectAll },
  { group: "Edit", label: "Drag the ground to select, or to move the sheet", keys: ["S"], run: toggleBoxing },

  {
    group: "Nodes",
    label: "Add a node",
    keys: ["Space", "Shift A"],
    run: () => useUi.setState({ palette: palette() }),
  },
  {
    group: "Nodes",
    label: "Connect the selected node",
    keys: ["W"],
    run: () => useUi.setState({ connector: selectedIds()[0] ?? null }),
  },
  {
    group: "Nodes",
    label: "Wires of the selected node",
    keys: ["Shift W"],
    run: () => useUi.setState({ wiresOf: selectedIds()[0] ?? null }),
  },
  { group: "Nodes", label: "Mute", keys: ["M"], run: () => commands.toggleMode("mute") },
  { group: "Nodes", label: "Bypass", keys: ["B"], run: () => commands.toggleMode("bypass") },
  ...DEFINITION_SHORTCUTS,
  { group: "Nodes", label: "Collapse or expand", keys: ["H"], run: () => commands.toggleCollapsed() },
  { group: "Nodes", label: "Frame around the selection", keys: ["Ctrl G"], run: commands.addFrame },
  { group: "Nodes", label: "Change the type", keys: ["Shift S"], run: () => changeType() },
  { group: "Nodes", label: "Wrap the selection in a zone", keys: ["Z"], run: chooseZone },
  { group: "Nodes", label: "Dissolve the zone", keys: ["Shift Z"], run: dissolve },
  { group: "Nodes", label: "Colour", keys: ["Shift C"], run: () => chooseColour() },
  { group: "Nodes", label: "Wider", keys: ["Alt Shift ArrowRight"], run: () => commands.resizeBy([32, 0]) },
  {
    group: "Nodes",
    label: "Narrower",
    keys: ["Alt Shift ArrowLeft"],
    run: () => commands.resizeBy([-32, 0]),
  },
  { group: "Nodes", label: "Taller", keys: ["Alt Shift ArrowDown"], run: () => commands.resizeBy([0, 32]) },
  { group: "Nodes", label: "Lower", keys: ["Alt Shift ArrowUp"], run: () => commands.resizeBy([0, -32]) },
  { group: "Nodes", label: "Note", keys: ["N"], run: () => commands.addNote(here().sheet) },
  { group: "Nodes", label: "Paint a mask on the selected node's picture", keys: ["Alt P"], run: paint },
  { group: "Nodes", label: "Align left", keys: ["Alt ArrowLeft"], run: () => commands.align("left") },
  { group: "Nodes", label: "Align top", keys: ["Alt ArrowUp"], run: () => commands.align("top") },
  { group: "Nodes", label: "Align right", keys: ["Alt ArrowRight"], run: () => commands.align("right") },
  { group: "Nodes", label: "Align bottom", keys: ["Alt ArrowDown"], run: () => commands.align("bottom") },
  { group: "Nodes", label: "Lay out", keys: ["Ctrl L"], run: layOut },

  {
    group: "View",
    label: "Frame the selection, or all",
    keys: ["F", "."],
    run: () => frameNodes(selectedIds()),
  },
  { group: "View", label: "Frame all", keys: ["Home"], run: () => frameAll() },
  { group: "View", label: "Look at the first stage", keys: ["Shift Home"], run: () => frameFirst(250) },
  { group: "View", label: "Find a node", keys: ["Ctrl F"], run: () => useUi.setState({ finder: true }) },
  { group: "View", label: "Zoom in", keys: ["+"], run: () => zoom(1.25) },
  { group: "View", label: "Zoom out", keys: ["-"], run: () => zoom(0.8) },
  { group: "View", label: "Minimap", keys: ["Shift M"], run: toggleMinimap },
  {
    group: "View",
    label: "Documentation of the node",
    keys: ["F1"],
    run: () => togglePanel("node"),
    always: true,
  },
  { group: "View", label: "Problems", keys: ["Alt 1"], run: () => togglePanel("problems") },
  { group: "View", label: "Viewer beside the sheet", keys: ["Alt V"], run: toggleViewer },
  { group: "View", label: "Runs", keys: ["Alt 2"], run: () => togglePanel("runs") },
  { group: "View", label: "Gallery", keys: ["Alt 3"], run: () => togglePanel("gallery") },
  {
    group: "View",
    label: "Before the run: shapes and cost",
    keys: ["Alt 4"],
    run: () => togglePanel("cost"),
  },
  {
    group: "View",
    label: "After the run: what each node took",
    keys: ["Alt 5"],
    run: () => togglePanel("profile"),
  },
  {
    group: "View",
    label: "Dark or light",
    keys: ["Alt T"],
    run: () => setTheme(useUi.getState().theme === "dark" ? "light" : "dark"),
  },
  { group: "View", label: "Settings", keys: ["Ctrl ,"], run: () => openDialog("settings"), always: true },
  { group: "View", label: "Models", keys: ["Alt 7"], run: () => togglePanel("models") },
  { group: "View", label: "Plugins", keys: ["Alt 6"], run: () => togglePanel("plugins") },
  { group: "View", label: "This list", keys: ["?"], run: () => openDialog("shortcuts") },

  { group: "File", label: "Save", keys: ["Ctrl S"], run: () => void saveFile(), always: true },
  { group: "File", label: "Save as", keys: ["Ctrl Shift S"], run: () => openDialog("save"), always: true },
  {
    group: "File",
    label: "Export as JSON, SVG or PNG",
    keys: ["Ctrl Shift E"],
    run: () => openDialog("export"),
    always: true,
  },
  { group: "File", label: "Open", keys: ["Ctrl O"], run: () => openDialog("start"), always: true },
  { group: "File", label: "New", keys: ["Alt N"], run: newWorkflow },
  { group: "File", label: "Next workflow", keys: ["Alt PageDown"], run: () => step(1), always: true },
  { group: "File", label: "Workflow before", keys: ["Alt PageUp"], run: () => step(-1), always: true },
  { group: "File", label: "Close the workflow", keys: ["Alt W"], run: () => closeDocument(), always: true },
];

/** The keys that do what a label says, as they are now; empty where they were taken from it. */
export const keysFor = (label: string): string =>
  SHORTCUTS.filter((shortcut) => shortcut.label === label)
    .flatMap((shortcut) => keysOf(shortcut))[0]
    ?.replace("Arrow", "") ?? "";

/** Listed, but done by the browser's clipboard events or the mouse. */
export const ALSO: readonly { group: Shortcut["group"]; label: string; keys: string }[] = [
  { group: "Edit", label: "Copy", keys: "Ctrl C" },
  { group: "Edit", label: "Cut", keys: "Ctrl X" },
  { group: "Edit", label: "Paste", keys: "Ctrl V" },
  { group: "Edit", label: "Paste a picture: on the selected node, or the sheet", keys: "Ctrl V" },
  { group: "Edit", label: "Paste with the wires that come in", keys: "Ctrl Shift V" },
  { group: "Nodes", label: "Add a node, there", keys: "double-click" },
  { group: "Nodes", label: "Bend a wire", keys: "double-click on it" },
  { group: "Nodes", label: "Move the selected nodes", keys: "arrows" },
  { group: "Nodes", label: "Put a node into a wire", keys: "drag it there" },
  { group: "Edit", label: "Select with a box", keys: "Ctrl drag" },
  { group: "Edit", label: "Calculate in a number's field", keys: "2*16" },
  { group: "View", label: "Move the sheet", keys: "Space drag" },
  { group: "View", label: "Go from node to node", keys: "Tab" },
];

function paint() {
  const [chosen] = selectedIds();
  if (chosen === undefined) say("Select a node with a picture to paint a mask on it");
  else startPainting(chosen);
}

function palette() {
  return { ...here(), loose: null };
}

function layOut() {
  void commands.arrange().then(() => setTimeout(() => frameAll(), 50)); // once the new places are drawn
}

const NAMES: Record<string, string> = { Space: " " };

/** Whether an event is this combination. */
export function pressed(event: KeyboardEvent, keys: string): boolean {
  const parts = keys.split(" ");
  const key = parts.at(-1) ?? "";
  const wanted = (NAMES[key] ?? key).toLowerCase();
  const symbol = /^[^a-z0-9 ]$/i.test(wanted);
  if (event.key.toLowerCase() !== wanted) return false;
  if ((event.ctrlKey || event.metaKey) !== parts.includes("Ctrl") || event.altKey !== parts.includes("Alt"))
    return false;
  return symbol || event.shiftKey === parts.includes("Shift");
}

/** Whether an event is what does what a label says. */
export const isPressed = (event: KeyboardEvent, label: string): boolean =>
  SHORTCUTS.some((own) => own.label === label && keysOf(own).some((keys) => pressed(event, keys)));

export const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  target.closest("input, textarea, select, [contenteditable], [role=dialog], [role=menu]") !== null;

export function handleKey(event: KeyboardEvent): void {
  const { palette: open, dialog, picture, menu, connector, finder, choosing, wiresOf } = useUi.getState();
  const { now: painting } = usePainting.getState();
  if (event.defaultPrevented || open || menu || connector || finder || choosing || wiresOf || painting)
    return;
  const found = SHORTCUTS.find((shortcut) => keysOf(shortcut).some((keys) => pressed(event, keys)));
  if (!found) return;
  // A click beside its buttons takes the focus out of what lies over the sheet; the keys do not go to the sheet by that.
  if ((dialog !== null || picture !== null || isField(event.target)) && !found.always) return;
  // A focused button has its own meaning for the space bar and Enter, alone.
  if (
    (event.key === " " || event.key === "Enter") &&
    !(event.ctrlKey || event.metaKey || event.altKey) &&
    event.target instanceof HTMLElement &&
    event.target.closest("button, a, summary, [role=slider], [role=spinbutton]")
  )
    return;
  event.preventDefault();
  // The space bar held moves the sheet: what it stands for waits until it comes up.
  if (event.key === " ") holdSpace(found.run);
  else found.run();
}
