/** The panel on the right: the node, the problems, the cost, the profile, the runs, the gallery, the models, or the plugins. */
import { X } from "lucide-react";
import { showPanel, useUi, type Panel } from "../state/ui";
import { CostPanel } from "./CostPanel";
import { DefinitionsPanel } from "./DefinitionsPanel";
import { Gallery } from "./Gallery";
import { tr } from "../strings";
import { ModelsPanel } from "./ModelsPanel";
import { NodePanel } from "./NodePanel";
import { PluginsPanel } from "./PluginsPanel";
import { ProblemsPanel } from "./ProblemsPanel";
import { ProfilePanel } from "./ProfilePanel";
import { RunsPanel } from "./RunsPanel";

const TITLES: Record<Panel, string> = {
  node: "Node",
  definitions: "Definitions",
  problems: "Problems",
  cost: "Before the run",
  profile: "After the run",
  runs: "Runs",
  gallery: "Gallery",
  models: "Models",
  plugins: "Plugins",
};

export function SidePanel() {
  const panel = useUi((state) => state.panel);
  if (!panel) return null;
  return (
    <aside className={`side ${panel}`} aria-label={tr(TITLES[panel])}>
      <header className="side-head">
        <h2>{tr(TITLES[panel])}</h2>
        <button className="icon-button" aria-label={tr("Close the panel")} onClick={() => showPanel(null)}>
          <X size={15} />
        </button>
      </header>
      <div className="side-body">
        {panel === "node" ? (
          <NodePanel />
        ) : panel === "definitions" ? (
          <DefinitionsPanel />
        ) : panel === "problems" ? (
          <ProblemsPanel />
        ) : panel === "cost" ? (
          <CostPanel />
        ) : panel === "profile" ? (
          <ProfilePanel />
        ) : panel === "runs" ? (
          <RunsPanel />
        ) : panel === "models" ? (
          <ModelsPanel />
        ) : panel === "plugins" ? (
          <PluginsPanel />
        ) : (
          <Gallery />
        )}
      </div>
    </aside>
  );
}
