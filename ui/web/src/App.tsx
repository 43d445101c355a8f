/** The page: bar, sheet, side panel, and what floats above them. */
import { ReactFlowProvider } from "@xyflow/react";
import { useEffect } from "react";
import { Canvas } from "./canvas/Canvas";
import { copiedText, pasteText, remove } from "./commands";
import { here } from "./state/flow";
import { pasteFiles } from "./canvas/bringing";
import { handleKey, isField } from "./canvas/shortcuts";
import { Breadcrumbs } from "./panels/Breadcrumbs";
import { Connector } from "./panels/Connector";
import { Dialogs } from "./panels/Dialogs";
import { EmptySheet } from "./panels/EmptySheet";
import { Finder } from "./panels/Finder";
import { PictureView } from "./panels/PictureView";
import { Notices } from "./panels/Notices";
import { Offline } from "./panels/Offline";
import { Hints, Menu, Toasts } from "./panels/Overlays";
import { Palette } from "./panels/Palette";
import { MaskPainter } from "./panels/painter/MaskPainter";
import { Results } from "./panels/Results";
import { Sending } from "./panels/Sending";
import { SidePanel } from "./panels/SidePanel";
import { Tabs } from "./panels/Tabs";
import { TopBar } from "./panels/TopBar";
import { TypeChooser } from "./panels/TypeChooser";
import { WireList } from "./panels/WireList";
import { languageOf, useSettings } from "./state/settings";
import { t } from "./strings";
import { say } from "./state/ui";

/** Whether the paste that comes next keeps incoming wires: the paste event does not tell that Shift was held. */
let shifted = false;

function paste(event: ClipboardEvent): void {
  if (event.target instanceof HTMLElement && event.target.closest("input, textarea, [contenteditable]"))
    return;
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length > 0) {
    event.preventDefault();
    void pasteFiles(files);
    return;
  }
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!text.trim().startsWith("{")) return;
  event.preventDefault();
  const { sheet, zone } = here();
  if (!pasteText(text, sheet, zone, shifted)) say("What was copied is no workflow", "bad");
}

/** Copy and cut by the browser's own events, which need no permission. */
function copy(event: ClipboardEvent): void {
  const selected = window.getSelection()?.toString() ?? "";
  if (selected !== "" || isField(event.target)) return;
  const text = copiedText();
  if (text === null) return;
  event.preventDefault();
  event.clipboardData?.setData("text/plain", text);
  if (event.type === "cut") remove();
}

/** For who goes by Tab: over the bar to the first node. */
const toFirstNode = () => document.querySelector<HTMLElement>(".react-flow__node[tabindex='0']")?.focus();

export function App() {
  useEffect(() => {
    const down = (event: KeyboardEvent) => {
      shifted = event.shiftKey;
      handleKey(event);
    };
    addEventListener("keydown", down);
    document.addEventListener("paste", paste);
    document.addEventListener("copy", copy);
    document.addEventListener("cut", copy);
    return () => {
      removeEventListener("keydown", down);
      document.removeEventListener("paste", paste);
      document.removeEventListener("copy", copy);
      document.removeEventListener("cut", copy);
    };
  }, []);
  const language = useSettings(languageOf); // another one draws all anew
  return (
    <ReactFlowProvider key={language}>
      <button className="skip" onClick={toFirstNode}>
        {t("Skip to the graph")}
      </button>
      <TopBar />
      <Tabs />
      <main className="stage" aria-label="Workflow">
        <Canvas />
        <Breadcrumbs />
        <EmptySheet />
        <Offline />
        <Notices />
      </main>
      <Results />
      <SidePanel />
      <Palette />
      <Connector />
      <Finder />
      <TypeChooser />
      <WireList />
      <Menu />
      <Dialogs />
      <PictureView />
      <MaskPainter />
      <Sending />
      <Toasts />
      <Hints />
    </ReactFlowProvider>
  );
}
