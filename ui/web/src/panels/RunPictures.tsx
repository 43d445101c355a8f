/** The viewer with pictures of runs: which is looked at, which is pinned to compare with, and what may be done with one. */
import { ChartSpline, Pin, PinOff } from "lucide-react";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { read } from "../document/codec";
import { api, fileUrl } from "../server/api";
import type { FoundPicture } from "../server/types";
import { carriesPlots, mayCarryPlots } from "../drawing/plots";
import { useEditor } from "../state/editor";
import { isLive } from "../state/runAge";
import type { NodeRun } from "../state/runView";
import { useRuns } from "../state/runs";
import { useViewer } from "../state/viewer";
import { IconButton } from "../widgets/IconButton";
import { settingsOf, type Settings } from "./flatten";
import { apart, labelOf } from "./pictureLabels";
import { usePlots } from "./usePlots";
import { Viewer, type Viewed } from "./viewer/Viewer";

interface Result extends Viewed {
  readonly path: string;
  readonly node: string;
  /** Whether it may carry its plots. */
  readonly plotted: boolean;
}

interface Props {
  readonly listed: readonly Result[];
  /** More buttons for the picture that is looked at. */
  readonly tools?: (shown: Result) => ReactNode;
}

export function RunPictures({ listed, tools }: Props) {
  const { mode, current, pinned } = useViewer();
  const stray = current !== null && !listed.some(({ path }) => path === current);
  const pictures = stray ? [...listed, lone(current)] : listed;
  const found = current === null ? -1 : pictures.findIndex(({ path }) => path === current);
  const at = found < 0 ? pictures.length - 1 : found;
  const shown = pictures[at];
  const against = pinned === null ? null : (pictures.find(({ path }) => path === pinned) ?? lone(pinned));
  const [drawn, setDrawn] = useState(true);
  const closer = usePlots(mode === "one" && shown?.plotted ? shown.path : null);
  const isPinned = shown !== undefined && shown.path === pinned;
  return (
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
      closer={drawn ? closer : null}
      tools={
        shown ? (
          <>
            {closer ? (
              <IconButton label="The plot to look into" on={drawn} run={() => setDrawn(!drawn)}>
                <ChartSpline size={15} />
              </IconButton>
            ) : null}
            <IconButton
              label={isPinned ? "Compare with this one no longer" : "Compare others with this one"}
              on={isPinned}
              run={() => useViewer.setState({ pinned: isPinned ? null : shown.path })}
            >
              {isPinned ? <PinOff size={14} /> : <Pin size={14} />}
            </IconButton>
            {tools?.(shown)}
          </>
        ) : null
      }
    />
  );
}

const lone = (path: string): Result => ({
  path,
  node: "",
  url: fileUrl(path),
  thumbnail: fileUrl(path, 256),
  label: path.split("/").at(-1) ?? path,
  plotted: mayCarryPlots(path), // of one that is not listed only its name is known
});

/** The pictures of the run that is shown, oldest first. */
export function useRunPictures(): Result[] {
  const nodes = useRuns((state) => state.view.nodes);
  const run = useRuns((state) => state.view.run);
  const goes = useRuns((state) => isLive(state.runs[state.view.run ?? -1]));
  const doc = useEditor((state) => state.doc);
  return useMemo(() => {
    const all = Object.entries(nodes as Record<string, NodeRun>).flatMap(([node, { files, state }]) =>
      files
        .filter(({ media }) => media.startsWith("image/"))
        .map((file) => ({ ...file, node, live: goes && state === "running" })),
    );
    all.sort((a, b) => a.time - b.time);
    return all.map(({ node, path, media, turn, live }) => ({
      ...lone(path),
      plotted: carriesPlots(media),
      node: node in doc.nodes ? node : "",
      live,
      label: `${labelOf(doc, node, turn)}${run === null ? "" : ` · #${run}`}`,
    }));
  }, [nodes, run, goes, doc]);
}

const RECENT = 24;

/** The pictures of the latest runs, oldest first, labelled with what sets them apart. */
export function useRecentPictures(wanted: boolean): Result[] {
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
    return found.map(({ path, media, node, run }, i) => ({
      ...lone(path),
      plotted: carriesPlots(media),
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
