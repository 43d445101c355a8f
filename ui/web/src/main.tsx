import "@xyflow/react/dist/style.css";
import "./style/fonts.css";
import "./style/tokens.css";
import "./style/page.css";
import "./style/node.css";
import "./style/zoom.css";
import "./style/widgets.css";
import "./style/panels.css";
import "./style/documents.css";
import "./style/running.css";
import "./style/pictures.css";
import "./style/editing.css";
import "./style/definitions.css";
import "./style/narrow.css";
import "./style/viewer.css";
import "./style/painter.css";
import "./style/gallery.css";
import "./style/models.css";
import "./style/finding.css";
import "./style/app.css";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { api } from "./server/api";
import { setCatalog } from "./state/editor";
import { AppView } from "./panels/app/AppView";
import { appIn, openApp } from "./state/app";
import { addressShown, startAddress } from "./state/address";
import { startLooking } from "./state/elsewhere";
import { startEstimating } from "./state/estimate";
import { askEarly, openAddress, openFirst } from "./state/files";
import { startKeeping } from "./state/keeping";
import { startPacing } from "./state/pace";
import { startProfiling } from "./state/profile";
import { startLive, startWatching } from "./state/runs";
import { startSession } from "./state/session";
import { startTabSign } from "./state/tabSign";
import { sayError } from "./state/ui";
import { startUsage } from "./state/usage";
import { startValidation } from "./state/validation";

const app = appIn(addressShown());

/** From the canvas to an app view, from there back or to another: all begins anew. */
addEventListener("hashchange", (event) => {
  if (app === null && appIn(addressShown()) === null) return;
  event.stopImmediatePropagation();
  location.reload();
});

const root = document.getElementById("root");
if (root) createRoot(root).render(app === null ? <App /> : <AppView path={app} />);

async function start(): Promise<void> {
  startLive();
  const catalog = api.nodes();
  if (app === null) askEarly();
  setCatalog(await catalog);
  await (app === null ? startCanvas() : openApp(app));
  startValidation();
  startEstimating();
  startWatching();
  startTabSign();
  startPacing();
}

/** What the canvas alone does: it keeps what is open and follows its files. */
async function startCanvas(): Promise<void> {
  await openFirst();
  startAddress(openAddress);
  startSession();
  startKeeping();
  startProfiling();
  startLooking();
  startUsage();
}

start().catch(sayError);
