/**
 * Pictures to look at: one, two under a slider, or many as labelled tiles. It knows nothing of runs or documents: whoever
 * shows it hands in the pictures and is told which is looked at.
 */
import {
  ChevronLeft,
  ChevronRight,
  Grid2x2,
  Maximize,
  Minus,
  Plus,
  SquareSplitHorizontal,
} from "lucide-react";
import { useState, type KeyboardEvent, type ReactNode } from "react";
import type { Size } from "../../drawing/geometry";
import type { Look } from "../../drawing/zooming";
import { IconButton } from "../../widgets/IconButton";
import { lying, useLook } from "./useLook";

export interface Viewed {
  readonly url: string;
  /** A smaller one for tiles. */
  readonly thumbnail: string;
  readonly label: string;
  /** A picture of what goes on: the next takes its place. */
  readonly live?: boolean;
}

export type Mode = "one" | "compare" | "grid";

interface Props {
  readonly pictures: readonly Viewed[];
  readonly at: number;
  readonly go: (at: number) => void;
  readonly mode: Mode;
  readonly setMode: (mode: Mode) => void;
  /** What the picture is compared with, on the left of the slider. */
  readonly against: Viewed | null;
  /** What is shown in place of the one picture, where there is something closer to look into; it zooms by itself. */
  readonly closer?: ReactNode;
  /** More buttons. */
  readonly tools?: ReactNode;
}

const ZOOM = 1.25;

export function Viewer({ pictures, at, go, mode, setMode, against, closer = null, tools }: Props) {
  const shown = pictures[at];
  const [size, setSize] = useState<Size>([1, 1]);
  const looking = useLook(size);
  const { box, look } = looking;
  const key = (event: KeyboardEvent) => {
    const step = event.shiftKey ? 120 : 40;
    const keys: Record<string, () => void> = {
      "+": () => looking.zoom(ZOOM),
      "-": () => looking.zoom(1 / ZOOM),
      "0": looking.fit,
      ArrowLeft: () => looking.move([step, 0]),
      ArrowRight: () => looking.move([-step, 0]),
      ArrowUp: () => looking.move([0, step]),
      ArrowDown: () => looking.move([0, -step]),
    };
    const run = keys[event.key];
    if (!run || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  };
  const isCloser = closer !== null && mode === "one";
  const turn = (event: KeyboardEvent<HTMLElement>) => {
    const by = { PageUp: -1, PageDown: 1 }[event.key];
    if (by === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (isCloser) event.currentTarget.focus(); // the plot that has the keyboard goes with its picture
    go(Math.min(pictures.length - 1, Math.max(0, at + by)));
  };
  const isSplit = mode === "compare" && against !== null;
  return (
    <div className="viewer" tabIndex={-1} onKeyDown={mode === "grid" ? undefined : turn}>
      <div className="viewer-bar" role="toolbar" aria-label="Pictures">
        <IconButton label="Picture before (Page Up)" disabled={at <= 0} run={() => go(at - 1)}>
          <ChevronLeft size={15} />
        </IconButton>
        <IconButton
          label="Next picture (Page Down)"
          disabled={at >= pictures.length - 1}
          run={() => go(at + 1)}
        >
          <ChevronRight size={15} />
        </IconButton>
        <span className="viewer-count">{pictures.length === 0 ? "" : `${at + 1} of ${pictures.length}`}</span>
        <span className="grow" />
        {mode === "grid" || isCloser ? null : (
          <>
            <IconButton label="Zoom out (-)" run={() => looking.zoom(1 / ZOOM)}>
              <Minus size={15} />
            </IconButton>
            <button
              className="viewer-zoom"
              aria-label={`Zoom ${Math.round(look.scale * 100)} %: fit the picture (0)`}
              data-tip="text|Fit the picture (0)"
              onClick={looking.fit}
            >
              {Math.round(look.scale * 100)} %
            </button>
            <IconButton label="Zoom in (+)" run={() => looking.zoom(ZOOM)}>
              <Plus size={15} />
            </IconButton>
          </>
        )}
        <IconButton label="One picture" on={mode === "one"} run={() => setMode("one")}>
          <Maximize size={14} />
        </IconButton>
        <IconButton
          label="Two pictures under a slider"
          on={mode === "compare"}
          run={() => setMode("compare")}
        >
          <SquareSplitHorizontal size={15} />
        </IconButton>
        <IconButton label="All as labelled tiles" on={mode === "grid"} run={() => setMode("grid")}>
          <Grid2x2 size={15} />
        </IconButton>
        {tools}
      </div>
      {mode === "grid" ? (
        <Tiles
          pictures={pictures}
          at={at}
          open={(which) => {
            go(which);
            setMode("one");
          }}
        />
      ) : isCloser ? (
        <div className="viewer-box closer">{closer}</div>
      ) : (
        <div
          ref={box}
          className={`viewer-box${look.scale >= 2 ? " pixels" : ""}`}
          role="group"
          tabIndex={0}
          aria-label="The picture: + and - zoom, arrows move it, 0 fits it"
          onKeyDown={key}
          onDoubleClick={looking.fit}
          {...looking.handlers}
        >
          {shown ? (
            <div className="viewer-content" style={lying(size, look)}>
              <img
                src={shown.url}
                alt={shown.label}
                draggable={false}
                onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => {
                  if (naturalWidth !== size[0] || naturalHeight !== size[1])
                    setSize([naturalWidth, naturalHeight]);
                }}
              />
            </div>
          ) : (
            <p className="viewer-empty">No pictures yet. What runs draw is shown here as it comes.</p>
          )}
          {isSplit && shown ? (
            <Split key={against.url} against={against} shown={shown} size={size} look={look} />
          ) : null}
        </div>
      )}
      {shown && mode !== "grid" ? (
        <p className="viewer-caption">
          {isSplit ? (
            <>
              <b>A</b> {against.label} <span aria-hidden>|</span> <b>B</b> {shown.label}
            </>
          ) : (
            <>
              {shown.live ? <span className="viewer-live">live</span> : null} {shown.label}
            </>
          )}
        </p>
      ) : null}
    </div>
  );
}

/** The other picture over the left part, as far as the slider says. */
function Split({ against, shown, size, look }: { against: Viewed; shown: Viewed; size: Size; look: Look }) {
  const [share, setShare] = useState(50);
  const edge = look.at[0] + (size[0] * look.scale * share) / 100;
  return (
    <>
      <div
        className="viewer-content over"
        style={{ ...lying(size, look), clipPath: `inset(0 ${100 - share}% 0 0)` }}
      >
        <img src={against.url} alt={against.label} draggable={false} />
      </div>
      <div className="viewer-edge" style={{ left: edge }} aria-hidden />
      <input
        type="range"
        className="viewer-share"
        aria-label={`How much of ${against.label} is seen before ${shown.label}`}
        min={0}
        max={100}
        step={0.5}
        value={share}
        onChange={(event) => setShare(Number(event.target.value))}
        onPointerDown={(event) => event.stopPropagation()}
        onPointerMove={(event) => event.stopPropagation()}
        onDoubleClick={(event) => event.stopPropagation()}
        onKeyDown={(event) => event.stopPropagation()}
      />
    </>
  );
}

function Tiles({
  pictures,
  at,
  open,
}: {
  pictures: readonly Viewed[];
  at: number;
  open: (at: number) => void;
}) {
  return (
    <ul className="viewer-tiles" aria-label="All pictures">
      {pictures.map((picture, i) => (
        <li key={picture.url}>
          <button className={i === at ? "on" : ""} onClick={() => open(i)}>
            <img src={picture.thumbnail} alt="" loading="lazy" />
            <span>{picture.label}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
