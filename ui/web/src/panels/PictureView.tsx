/** One picture, large, with what made it and what can be done with it. */
import { Download, FolderOpen, SquareSplitHorizontal, Workflow, X } from "lucide-react";
import { useEffect, useState } from "react";
import { read } from "../document/codec";
import { resolveExposed } from "./exposed";
import { api, fileUrl } from "../server/api";
import { mayCarryPlots } from "../drawing/plots";
import { openFile } from "../state/files";
import { useUi } from "../state/ui";
import { settingsOf, type Settings } from "./flatten";
import { compare, sendToNode } from "./pictureActions";
import { usePlots } from "./usePlots";

export function PictureView() {
  const path = useUi((state) => state.picture);
  return path === null ? null : <Large key={path} path={path} />;
}

function Large({ path }: { path: string }) {
  const [settings, setSettings] = useState<{ title: string; main: Settings; all: Settings } | null>(null);
  const [small, setSmall] = useState(false);
  const plots = usePlots(mayCarryPlots(path) ? path : null);
  const close = () => useUi.setState({ picture: null });
  useEffect(() => {
    let current = true;
    api.open(path).then(
      (found) => {
        const { doc } = read(found.text);
        if (current) setSettings({ title: doc.title, main: resolveExposed(doc), all: settingsOf(doc) });
      },
      () => undefined, // a picture that carries no workflow
    );
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") close();
    };
    addEventListener("keydown", key);
    return () => {
      current = false;
      removeEventListener("keydown", key);
    };
  }, [path]);
  return (
    <div
      className="veil lightbox"
      role="dialog"
      aria-modal="true"
      aria-label={path}
      onPointerDown={(event) => event.target === event.currentTarget && close()}
    >
      {plots ? (
        <figure className="closer">{plots}</figure>
      ) : (
        <figure>
          <img
            src={fileUrl(path)}
            alt={path}
            className={small ? "pixels" : ""}
            onLoad={(event) => setSmall(event.currentTarget.naturalWidth <= 400)}
          />
        </figure>
      )}
      <aside className="picture-facts">
        <header>
          <h2>{settings?.title ?? path.split("/").at(-1)}</h2>
          <button className="icon-button" aria-label="Close" autoFocus onClick={close}>
            <X size={15} />
          </button>
        </header>
        <p className="meta">{path}</p>
        <div className="run-actions">
          <button
            className="small-button"
            disabled={!settings}
            onClick={() => {
              close();
              void openFile(path);
            }}
          >
            <FolderOpen size={12} aria-hidden /> Open its workflow
          </button>
          <a className="small-button link" href={fileUrl(path)} download>
            <Download size={12} aria-hidden /> Download
          </a>
          <button
            className="small-button"
            onClick={() => {
              close();
              sendToNode(path);
            }}
          >
            <Workflow size={12} aria-hidden /> Send to a node
          </button>
          <button
            className="small-button"
            onClick={() => {
              close();
              compare(path);
            }}
          >
            <SquareSplitHorizontal size={12} aria-hidden /> Compare
          </button>
        </div>
        {settings ? (
          <>
            <SettingsTable settings={settings.main} />
            <details className="settings">
              <summary>All {Object.keys(settings.all).length} parameters</summary>
              <SettingsTable settings={settings.all} />
            </details>
          </>
        ) : null}
      </aside>
    </div>
  );
}

function SettingsTable({ settings }: { settings: Settings }) {
  return (
    <dl className="settings-table">
      {Object.entries(settings).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
