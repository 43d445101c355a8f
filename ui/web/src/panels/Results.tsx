/** The viewer beside the sheet: the pictures of the run that is shown, live while it goes on, or those of the latest runs. */
import { Info, Paintbrush, X } from "lucide-react";
import { useState, type KeyboardEvent, type PointerEvent } from "react";
import { startPainting } from "../state/painting";
import { useUi } from "../state/ui";
import { openViewer, useViewer, widen, type Scope } from "../state/viewer";
import { IconButton } from "../widgets/IconButton";
import { RunPictures, useRecentPictures, useRunPictures } from "./RunPictures";

export function Results() {
  const open = useViewer((state) => state.open);
  return open ? <Open /> : null;
}

function Open() {
  const { width, scope, current } = useViewer();
  const ofRun = useRunPictures();
  const isOfRun = scope === "run" && ofRun.length > 0; // before the first, what was last is looked at
  const recent = useRecentPictures(!isOfRun);
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
      <RunPictures
        listed={isOfRun ? ofRun : recent}
        tools={(shown) => (
          <>
            <IconButton label="What made it" run={() => useUi.setState({ picture: shown.path })}>
              <Info size={15} />
            </IconButton>
            {shown.node ? (
              <IconButton label="Paint a mask on it" run={() => startPainting(shown.node, shown.path)}>
                <Paintbrush size={14} />
              </IconButton>
            ) : null}
          </>
        )}
      />
    </section>
  );
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
