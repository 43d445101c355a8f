/** The packages that bring nodes, and a button that loads edited ones. */
import { RefreshCw } from "lucide-react";
import { useEffect } from "react";
import type { Plugin } from "../server/types";
import { lookAtPlugins, reloadPlugins, usePlugins } from "../state/plugins";
import { t } from "../strings";

export function PluginsPanel() {
  const { list, busy } = usePlugins();
  useEffect(() => void lookAtPlugins(), []);
  return (
    <div className="plugin-list">
      <p className="quiet">
        {t(
          "Packages that bring nodes. After you edited one, load it anew: runs that go on are finished by the process that began them.",
        )}
      </p>
      <button className="small-button" disabled={busy} onClick={() => void reloadPlugins()}>
        <RefreshCw size={13} aria-hidden /> {busy ? t("Loading…") : t("Load edited packages")}
      </button>
      <ul>
        {(list ?? []).map((plugin) => (
          <Entry key={plugin.module} plugin={plugin} />
        ))}
      </ul>
    </div>
  );
}

function Entry({ plugin }: { plugin: Plugin }) {
  const { module, distribution, version, folder, nodes, error, changed } = plugin;
  return (
    <li className={error ? "wrong" : ""}>
      <p className="plugin-head">
        <b>{module}</b>
        <span>{distribution ? `${distribution} ${version}` : t("not installed")}</span>
        {changed ? <em>{t("edited since it was loaded")}</em> : null}
      </p>
      {error ? <p className="plugin-error">{error}</p> : null}
      <p className="quiet">{folder}</p>
      {nodes.length > 0 ? (
        <details>
          <summary>{t("{n} nodes", { n: nodes.length })}</summary>
          <p className="plugin-nodes">{nodes.join(", ")}</p>
        </details>
      ) : null}
    </li>
  );
}
