import "@xyflow/react/dist/style.css";
import "./style/fonts.css";
import "./style/tokens.css";
import "./style/page.css";
import "./style/node.css";
import "./style/widgets.css";
import "./style/panels.css";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { api } from "./server/api";
import { setCatalog } from "./state/editor";
import { openFirst, startDrafts } from "./state/files";
import { resumeWatching, startLive } from "./state/runs";
import { sayError } from "./state/ui";
import { startValidation } from "./state/validation";

const root = document.getElementById("root");
if (root) createRoot(root).render(<App />);

async function start(): Promise<void> {
  startLive();
  setCatalog(await api.nodes());
  await openFirst();
  startDrafts();
  startValidation();
  resumeWatching();
}

start().catch(sayError);
