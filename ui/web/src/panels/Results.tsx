/** The viewer beside the sheet: the pictures of the run that is shown, live while it goes on, or those of the latest runs. */
import { Info, Paintbrush, Pin, PinOff, X } from "lucide-react";
import { useEffect, useMemo, useState, type KeyboardEvent, type PointerEvent } from "react";
import { read } from "../document/codec";
import { api, fileUrl } from "../server/api";
import type { FoundPicture } from "../server/types";
import { useEditor } from "../state/editor";
import { startPainting } from "../state/painting";
import { isLive } from "../state/runAge";
import type { NodeRun } from "../state/runView";
import { useRuns } from "../state/runs";
import { useUi } from "../state/ui";
import { openViewer, useViewer, widen, type Scope } from "../state/viewer";
import { IconButton } from "../widgets/IconButton";
import { settingsOf, type Settings } from "./flatten";
import { apart, labelOf } from "./pictureLabels";
import { Viewer, type Viewed } from "./viewer/Viewer";

interface Result extends Viewed {
  readonly path: string;
  readonly node: string;
}

export function Results() {
  const open = useViewer((state) => state.open);
  return open ? <Open /> : null;
}

function Open() {
  const { width, scope, mode, current, pinned } = useViewer();
  const ofRun = useRunPictures();
  const isOfRun = scope === "run" && ofRun.length > 0; // before the first, what was last is looked at
  const recent = useRecentPictures(!isOfRun);
  const listed = isOfRun ? ofRun : recent;
  const stray = current !== null && !listed.some(({ path }) => path === current);
  const pictures = stray ? [...listed, lone(current)] : listed;
  const found = current === null ? -1 : pictures.findIndex(({ path }) => path === current);
  const at = found < 0 ? pictures.length - 1 : found;
  const shown = pictures[at];
  const against = pinned === null ? null : (pictures.find(({ path }) => path === pinned) ?? lone(pinned));
  const isPinned = shown !== undefined && shown.path === pinned;
  return (
    <section className="results" aria-label="Viewer" style={{ width }}>
      <Rim width={width} />
      <header className="side-head">
        <h2>Viewer</h2>
        <select
          aria-label="Which pictures"
          value={isOfRun ? "run" : "recent"}
          onChange={(event) => useViewer.setState({ scope: event.target.value as Scope, current: null })}
        >
          <option value="run" disabled={ofRun.length === 0}>
            This run
          </option>
          <option value="recent">Latest runs</option>
        </select>
        <span className="grow" />
        {current === null ? null : (
          <button className="small-button" onClick={() => useViewer.setState({ current: null })}>
            Newest
          </button>
        )}
        <button className="icon-button" aria-label="Close the viewer" onClick={() => openViewer(false)}>
          <X size={15} />
        </button>
      </header>
      <Viewer
        pictures={pictures}
        at={at}
        // The last is the newest, and stays it.
        go={(next) =>
          useViewer.setState({
            current: next === pictures.length - 1 ? null : (pictures[next]?.path ?? null),
          })
        }
        mode={mode}
        setMode={(next) => {
          if (next === "compare" && pinned === null)
            useViewer.setState({ pinned: (pictures[at - 1] ?? shown)?.path ?? null });
          useViewer.setState({ mode: next });
        }}
        against={against}
        tools={
          shown ? (
            <>
              <IconButton
                label={isPinned ? "Compare with this one no longer" : "Compare others with this one"}
                on={isPinned}
                run={() => useViewer.setState({ pinned: isPinned ? null : shown.path })}
              >
                {isPinned ? <PinOff size={14} /> : <Pin size={14} />}
              </IconButton>
              <IconButton label="What made it" run={() => useUi.setState({ picture: shown.path })}>
                <Info size={15} />
              </IconButton>
              {shown.node ? (
                <IconButton label="Paint a mask on it" run={() => startPainting(shown.node, shown.path)}>
                  <Paintbrush size={14} />
                </IconButton>
              ) : null}
            </>
          ) : null
        }
      />
    </section>
  );
}

const lone = (path: string): Result => ({
  path,
  node: "",
  url: fileUrl(path),
  thumbnail: fileUrl(path, 256),
  label: path.split("/").at(-1) ?? path,
});

/** The pictures of the run that is shown, oldest first. */
function useRunPictures(): Result[] {
  const nodes = useRuns((state) => state.view.nodes);
  const run = useRuns((state) => state.view.run);
  const goes = useRuns((state) => isLive(state.runs[state.view.run ?? -1]));
  const doc = useEditor((state) => state.doc);
  return useMemo(() => {
    const all = Object.entries(nodes as Record<string, NodeRun>).flatMap(([node, { files, state }]) =>
      files
        .filter(({ media }) => media.startsWith("image/"))
        .map(({ path, turn, time }) => ({ node, path, turn, time, live: goes && state === "running" })),
    );
    all.sort((a, b) => a.time - b.time);
    return all.map(({ node, path, turn, live }) => ({
      ...lone(path),
      node: node in doc.nodes ? node : "",
      live,
      label: `${labelOf(doc, node, turn)}${run === null ? "" : ` · #${run}`}`,
    }));
  }, [nodes, run, goes, doc]);
}

const RECENT = 24;

/** The pictures of the latest runs, oldest first, labelled with what sets them apart. */
function useRecentPictures(wanted: boolean): Result[] {
  const finished = useRuns((state) =>
    Object.values(state.runs).reduce((last, run) => (isLive(run) ? last : Math.max(last, run.run)), 0),
  );
  const [found, setFound] = useState<readonly FoundPicture[]>([]);
  const [settings, setSettings] = useState<readonly Settings[]>([]);
  useEffect(() => {
    if (!wanted) return undefined;
    let current = true;
    const look = async () => {
      const { pictures } = await api.gallery({ limit: RECENT });
      const newest = pictures.slice(0, RECENT).reverse();
      if (current) setFound(newest);
      const all = await Promise.all(newest.map(({ path }) => settingsIn(path)));
      if (current) setSettings(all);
    };
    look().catch(() => undefined); // the page says already that the server does not answer
    return () => {
      current = false;
    };
  }, [wanted, finished]);
  return useMemo(() => {
    const differences = apart(settings);
    return found.map(({ path, node, run }, i) => ({
      ...lone(path),
      label: [node.replaceAll("_", " "), settings.length === found.length ? differences[i] : "", `#${run}`]
        .filter(Boolean)
        .join(" · "),
    }));
  }, [found, settings]);
}

/** The settings that a picture carries; none where it carries no workflow. */
async function settingsIn(path: string): Promise<Settings> {
  try {
    return settingsOf(read((await api.open(path)).text).doc);
  } catch {
    return {};
  }
}

/** The rim that is dragged, or moved by arrows, to make room. */
function Rim({ width }: { width: number }) {
  /** Where the viewer ends on the right, while a hand holds the rim. */
  const [end, setEnd] = useState<number | null>(null);
  const key = (event: KeyboardEvent) => {
    const by = { ArrowLeft: 24, ArrowRight: -24 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    widen(width + by);
  };
  return (
    <div
      className="results-rim"
      role="separator"
      aria-orientation="vertical"
      aria-label="Width of the viewer"
      aria-valuenow={width}
      tabIndex={0}
      onKeyDown={key}
      onPointerDown={(event: PointerEvent<HTMLDivElement>) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setEnd(event.clientX + width);
      }}
      onPointerMove={(event) => {
        if (end !== null) widen(end - event.clientX);
      }}
      onPointerUp={() => setEnd(null)}
      onPointerCancel={() => setEnd(null)}
    />
  );
}
