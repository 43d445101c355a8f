/** What a node has to show: pictures, curves, texts; and what went wrong with it. */
import { ChevronLeft, ChevronRight, Maximize2, Paintbrush } from "lucide-react";
import { memo, useState } from "react";
import { fileUrl } from "../server/api";
import type { Curve, NodeRun, ShownFile } from "../state/runView";
import { startPainting } from "../state/painting";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { useProblems } from "../state/validation";
import { useUi } from "../state/ui";
import type { Card } from "../document/cards";
import { stepName } from "../drawing/format";
import { TextFile } from "./TextFile";
import { Sparks } from "./Sparks";

export const Previews = memo(function Previews({ card }: { card: Card }) {
  const node = card.id;
  const chosen = card.inputs.find((slot) => slot.port.path && isPicture(slot.value))?.value;
  const run = useRuns((state) => seenRun(state.view).nodes[node]);
  const curves = useRuns((state) => seenRun(state.view).curves[node]);
  if (!run && !curves && !chosen) return null;
  return (
    <>
      {typeof chosen === "string" ? <ChosenPicture key={chosen} path={chosen} node={node} /> : null}
      {curves ? <Curves node={node} curves={curves} /> : null}
      {run && run.files.length > 0 ? <Files run={run} node={node} /> : null}
      {run?.text ? <pre className="preview text-preview nowheel nodrag">{run.text}</pre> : null}
      {run?.state === "failed" ? <Failure run={run} /> : null}
    </>
  );
});

/** The picture that a path parameter names; nothing where the file is none. */
function ChosenPicture({ path, node }: { path: string; node: string }) {
  const [there, setThere] = useState(true);
  if (!there) return null;
  const url = fileUrl(path, 256);
  return (
    <div className="preview chosen">
      <img
        className="chosen-picture"
        src={url}
        alt={path}
        draggable={false}
        onError={() => setThere(false)}
      />
      <PaintButton node={node} />
    </div>
  );
}

const isPicture = (value: unknown): boolean =>
  typeof value === "string" && /\.(png|jpe?g|webp|gif|bmp)$/i.test(value);

function Files({ run, node }: { run: NodeRun; node: string }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const { files } = run;
  const at = chosen === null ? files.length - 1 : Math.min(chosen, files.length - 1);
  const file = files[at];
  if (!file) return null;
  const go = (step: number) => {
    const next = Math.min(files.length - 1, Math.max(0, at + step));
    setChosen(next === files.length - 1 ? null : next);
  };
  return (
    <div className={`preview${run.stale ? " stale" : ""}`}>
      <Shown file={file} node={node} />
      {files.length > 1 ? (
        <div className="pager nodrag">
          <button className="field-button" aria-label="Earlier" disabled={at === 0} onClick={() => go(-1)}>
            <ChevronLeft size={13} />
          </button>
          <input
            type="range"
            aria-label={`Which of ${files.length} files`}
            min={0}
            max={files.length - 1}
            value={at}
            onChange={(event) => go(Number(event.target.value) - at)}
          />
          <button
            className="field-button"
            aria-label="Later"
            disabled={at === files.length - 1}
            onClick={() => go(1)}
          >
            <ChevronRight size={13} />
          </button>
          <span className="pager-turn">
            {file.turn === null ? `${at + 1} of ${files.length}` : stepName(file.turn)}
          </span>
        </div>
      ) : file.turn === null ? null : (
        <div className="pager">
          <span className="pager-turn">{stepName(file.turn)}</span>
        </div>
      )}
    </div>
  );
}

function Shown({ file, node }: { file: ShownFile; node: string }) {
  const url = fileUrl(file.path);
  if (file.media.startsWith("image/")) {
    return (
      <div className="chosen">
        <button
          className="picture nodrag"
          aria-label={`Look at the picture of ${node}`}
          onClick={() => useUi.setState({ picture: file.path })}
        >
          <img src={url} alt={`Shown by ${node}`} draggable={false} />
        </button>
        <PaintButton node={node} picture={file.path} />
      </div>
    );
  }
  if (/^text\/|json|csv/.test(file.media)) return <TextFile url={url} media={file.media} />;
  return (
    <a className="file-link nodrag" href={url} download>
      {file.path.split("/").at(-1)}
    </a>
  );
}

function PaintButton({ node, picture }: { node: string; picture?: string }) {
  return (
    <button
      className="field-button paint-button nodrag"
      aria-label={`Paint a mask on the picture of ${node}`}
      data-tip="text|Paint a mask on it"
      data-shortcut="Paint a mask on the selected node's picture"
      onClick={() => startPainting(node, picture)}
    >
      <Paintbrush size={12} />
    </button>
  );
}

function Curves({ node, curves }: { node: string; curves: Readonly<Record<string, Curve>> }) {
  return (
    <div className="preview curves">
      <Sparks curves={curves} />
      <button
        className="field-button open-chart nodrag"
        aria-label={`Open the chart of ${node}`}
        data-tip="text|Open the chart"
        onClick={() => useUi.setState({ dialog: "chart", chart: node })}
      >
        <Maximize2 size={12} />
      </button>
    </div>
  );
}

function Failure({ run }: { run: NodeRun }) {
  return (
    <div className="failure nodrag nowheel" role="alert">
      <p>{run.message}</p>
      {run.traceback ? (
        <details>
          <summary>Traceback</summary>
          <pre>{run.traceback}</pre>
        </details>
      ) : null}
    </div>
  );
}

/** Problems that belong to the node as a whole, or to a port that is not drawn. */
export const NodeProblems = memo(function NodeProblems({ card }: { card: Card }) {
  const problems = useProblems((state) => state.byNode.get(card.id));
  if (!problems) return null;
  const slots = [...card.inputs, ...card.results];
  const drawn = new Set(slots.flatMap((slot) => [slot.handle, slot.name ? slot.handle : slot.port.name]));
  const shown = problems.filter((problem) => card.collapsed || !card.spec || !drawn.has(problem.port));
  if (shown.length === 0) return null;
  return (
    <ul className="node-problems">
      {shown.map((problem) => (
        <li key={problem.port + problem.message} className={problem.severity}>
          {problem.port ? <b>{problem.port}: </b> : null}
          {problem.message}
          {problem.remedy ? <span className="remedy"> {problem.remedy}</span> : null}
        </li>
      ))}
    </ul>
  );
});
