/** Pictures of the latest runs, each with the settings that made it. */
import { Download, FolderOpen, X } from "lucide-react";
import { useEffect, useState } from "react";
import { stepName } from "../drawing/format";
import { read } from "../document/codec";
import { resolveExposed } from "./exposed";
import { api, fileUrl } from "../server/api";
import type { Output } from "../server/types";
import { openFile } from "../state/files";
import { isLive } from "../state/runAge";
import { useRuns } from "../state/runs";
import { sayError, useUi } from "../state/ui";
import { settingsOf, type Settings } from "./flatten";

interface Picture extends Output {
  run: number;
}

const RUNS = 24;

export function Gallery() {
  const finished = useRuns((state) =>
    Object.values(state.runs)
      .filter((run) => !isLive(run))
      .map((run) => run.run)
      .sort((a, b) => b - a)
      .slice(0, RUNS)
      .join(),
  );
  const [pictures, setPictures] = useState<Picture[] | null>(null);
  const [previews, setPreviews] = useState(false);
  useEffect(() => {
    let current = true;
    const runs = finished === "" ? [] : finished.split(",").map(Number);
    Promise.all(
      runs.map((run) =>
        api.outputs(run).then((list) => list.map((output) => ({ ...output, run })).reverse()),
      ),
    ).then(
      (lists) => current && setPictures(lists.flat().filter((output) => output.media.startsWith("image/"))),
      sayError,
    );
    return () => {
      current = false;
    };
  }, [finished]);
  const shown = pictures?.filter((picture) => previews || !picture.preview) ?? [];
  return (
    <div className="gallery">
      <label className="check">
        <input type="checkbox" checked={previews} onChange={(event) => setPreviews(event.target.checked)} />{" "}
        with previews
      </label>
      {pictures !== null && shown.length === 0 ? <p className="quiet">No pictures yet.</p> : null}
      <div className="gallery-grid">
        {shown.map((picture) => (
          <button
            key={`${picture.run}.${picture.n}`}
            onClick={() => useUi.setState({ picture: picture.path })}
          >
            <img
              src={fileUrl(picture.path, 256)}
              alt={`${picture.node}, run ${picture.run}`}
              loading="lazy"
            />
            <span>
              {picture.node}
              {picture.turn === null ? "" : ` · ${stepName(picture.turn)}`} · #{picture.run}
            </span>
          </button>
        ))}
      </div>
    </div>
  );
}

/** One picture, large, with what made it. */
export function PictureView() {
  const path = useUi((state) => state.picture);
  return path === null ? null : <Large key={path} path={path} />;
}

function Large({ path }: { path: string }) {
  const [settings, setSettings] = useState<{ title: string; main: Settings; all: Settings } | null>(null);
  const [small, setSmall] = useState(false);
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
      <figure>
        <img
          src={fileUrl(path)}
          alt={path}
          className={small ? "pixels" : ""}
          onLoad={(event) => setSmall(event.currentTarget.naturalWidth <= 400)}
        />
      </figure>
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
