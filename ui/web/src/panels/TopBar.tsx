/** The bar above the sheet: the file, the run, the panels. */
import {
  AppWindow,
  BookOpen,
  CircleHelp,
  Eye,
  Gauge,
  Images,
  ListTree,
  Package,
  LogOut,
  Moon,
  Play,
  Save,
  Share,
  Sun,
  Timer,
  TriangleAlert,
} from "lucide-react";
import { RUN } from "../canvas/shortcuts";
import { setTitle } from "../commands";
import { appUrl } from "../server/api";
import { wonder } from "../state/estimate";
import { activeOf, useDocuments } from "../state/documents";
import { useEditor } from "../state/editor";
import { saveFile } from "../state/files";
import { isLive } from "../state/runAge";
import { liveRun, useRuns } from "../state/runs";
import { run as send } from "../state/sending";
import { useProblems } from "../state/validation";
import { toggleViewer, useViewer } from "../state/viewer";
import { openDialog, setTheme, togglePanel, useUi } from "../state/ui";
import { t } from "../strings";
import { IconButton } from "../widgets/IconButton";
import { BarMenu, PANELS, type BarPanel } from "./BarMenu";
import { Mark } from "./Mark";
import { RunCost } from "./RunCost";
import { RunMenu } from "./RunMenu";
import { RunStatus, StopButton } from "./RunStatus";

export function TopBar() {
  return (
    <header className="topbar">
      <button
        className="brand"
        onClick={() => openDialog("start")}
        aria-label="Latent Loom: open a workflow"
        data-tip="text|Open a workflow"
        data-shortcut="Open"
      >
        <Mark />
        <span>Latent Loom</span>
      </button>
      <FileName />
      <span className="grow" />
      <RunControls />
      <span className="grow" />
      <Panels />
    </header>
  );
}

function FileName() {
  const title = useEditor((state) => state.doc.title);
  const path = useDocuments((state) => activeOf(state).file.path);
  const shipped = useDocuments((state) => activeOf(state).file.shipped);
  return (
    <div className="file-name">
      <input
        aria-label="Title of the workflow"
        placeholder="Untitled workflow"
        value={title}
        size={Math.max(12, Math.min(48, title.length))}
        onChange={(event) => setTitle(event.target.value)}
        onKeyDown={(event) => {
          if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
          if (event.key === "Enter" || event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <span className="file-path" data-tip={path ? `text|${path}` : "text|Never saved"}>
        {shipped ? "example" : path ? path.replace(/^workflows\//, "") : "not saved"}
      </span>
      <IconButton label="Save" shortcut="Save" run={() => void saveFile()}>
        <Save size={15} />
      </IconButton>
      <IconButton
        label="Export"
        tip="Export as JSON, Python, SVG or PNG"
        shortcut="Export as JSON, SVG or PNG"
        run={() => openDialog("export")}
      >
        <Share size={15} />
      </IconButton>
      {path ? (
        <a
          className="icon-button"
          href={appUrl(path)}
          target="_blank"
          rel="noreferrer"
          aria-label={t("App view")}
          data-tip="text|App view: a plain form of what this workflow exposes, as it was saved"
        >
          <AppWindow size={15} />
        </a>
      ) : null}
    </div>
  );
}

function RunControls() {
  const run = useRuns((state) => liveRun(state));
  const online = useRuns((state) => state.online);
  const errors = useProblems(
    (state) => state.problems.filter((problem) => problem.severity === "error").length,
  );
  return (
    <div className="run-controls" role="group" aria-label="Run" onPointerEnter={wonder}>
      <button
        className="run-button"
        disabled={!online}
        data-tip={
          errors > 0
            ? "text|Problems stand in the way: see what is marked"
            : "text|Run; again for one more in the queue"
        }
        data-shortcut={RUN}
        onClick={() => void send()}
      >
        <Play size={14} aria-hidden /> {t(isLive(run) ? "Queue" : "Run")}
      </button>
      <RunMenu />
      {run ? null : <RunCost />}
      {run ? <StopButton run={run} /> : null}
      <RunStatus run={run} />
    </div>
  );
}

function Panels() {
  const theme = useUi((state) => state.theme);
  const login = useRuns((state) => state.about?.login ?? false);
  const errors = useProblems(
    (state) => state.problems.filter((problem) => problem.severity === "error").length,
  );
  const warnings = useProblems((state) => state.problems.length) - errors;
  return (
    <nav className="panel-buttons" aria-label="Panels">
      <PanelButton panel="node">
        <BookOpen size={16} />
      </PanelButton>
      <PanelButton panel="definitions">
        <Package size={16} />
      </PanelButton>
      <PanelButton panel="problems" label={`Problems: ${errors} errors, ${warnings} warnings`}>
        <TriangleAlert size={16} />
        {errors + warnings > 0 ? (
          <span className={`count ${errors > 0 ? "error" : "warning"}`}>{errors || warnings}</span>
        ) : null}
      </PanelButton>
      <PanelButton panel="cost">
        <Gauge size={16} />
      </PanelButton>
      <PanelButton panel="profile">
        <Timer size={16} />
      </PanelButton>
      <PanelButton panel="runs">
        <ListTree size={16} />
      </PanelButton>
      <PanelButton panel="gallery">
        <Images size={16} />
      </PanelButton>
      <ViewerButton />
      <span className="divider" />
      <IconButton
        label={theme === "dark" ? "Light theme" : "Dark theme"}
        run={() => setTheme(theme === "dark" ? "light" : "dark")}
      >
        {theme === "dark" ? <Sun size={16} /> : <Moon size={16} />}
      </IconButton>
      <IconButton label="Shortcuts" shortcut="This list" run={() => openDialog("shortcuts")}>
        <CircleHelp size={16} />
      </IconButton>
      <BarMenu />
      {login ? (
        <a className="icon-button" href="logout" aria-label="Log out" data-tip="text|Log out">
          <LogOut size={16} />
        </a>
      ) : null}
    </nav>
  );
}

function ViewerButton() {
  const open = useViewer((state) => state.open);
  return (
    <IconButton
      label="Viewer"
      tip="Viewer beside the sheet: the newest picture, live"
      shortcut="Viewer beside the sheet"
      on={open}
      run={toggleViewer}
    >
      <Eye size={16} />
    </IconButton>
  );
}

interface PanelButtonProps {
  panel: BarPanel;
  label?: string;
  children: React.ReactNode;
}

function PanelButton({ panel, label = PANELS[panel], children }: PanelButtonProps) {
  const open = useUi((state) => state.panel === panel);
  return (
    <IconButton label={label} on={open} run={() => togglePanel(panel)}>
      {children}
    </IconButton>
  );
}
