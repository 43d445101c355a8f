/** What comes of the run that is shown: its pictures in the viewer, and its curves, values and files. */
import { ChartLine } from "lucide-react";
import { TextFile } from "../../canvas/TextFile";
import { Sparks } from "../../canvas/Sparks";
import { titleOf } from "../../document/cards";
import { nodeOf } from "../../document/document";
import { fileUrl } from "../../server/api";
import { useEditor } from "../../state/editor";
import { useRuns } from "../../state/runs";
import { seenRun } from "../../state/seen";
import { useUi } from "../../state/ui";
import { t } from "../../strings";
import { RunPictures, useRunPictures } from "../RunPictures";

export function AppResults() {
  const pictures = useRunPictures();
  return (
    <section className="app-results" aria-label={t("Results")}>
      <RunPictures listed={pictures} />
      <Curves />
      <Values />
      <Files />
    </section>
  );
}

function Curves() {
  const curves = useRuns((state) => seenRun(state.view).curves);
  return Object.entries(curves).map(([node, own]) => (
    <section key={node} className="app-curves">
      <h2>{titleOf(node)}</h2>
      <Sparks curves={own} />
      <button className="small-button" onClick={() => useUi.setState({ dialog: "chart", chart: node })}>
        <ChartLine size={13} aria-hidden /> {t("Open the chart")}
      </button>
    </section>
  ));
}

/** A tensor is told by its shape, which says nothing here. */
const isTelling = (text: string): boolean => text !== "" && !text.includes("×");

function Values() {
  const outputs = useEditor((state) => state.doc.exposed.outputs);
  const nodes = useRuns((state) => state.view.nodes);
  const told = Object.entries(outputs).flatMap(([name, ref]): [string, string][] => {
    const text = nodes[nodeOf(ref)]?.text ?? "";
    return isTelling(text) ? [[name.replaceAll("_", " "), text]] : [];
  });
  if (told.length === 0) return null;
  return (
    <dl className="app-values">
      {told.map(([name, text]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function Files() {
  const nodes = useRuns((state) => state.view.nodes);
  const files = Object.values(nodes).flatMap((node) => {
    const table = node.files.findLast(({ media }) => media === "text/csv"); // of a loop's many
    return node.files
      .filter(({ media }) => !media.startsWith("image/"))
      .map((file) => ({ ...file, isTable: file === table }));
  });
  if (files.length === 0) return null;
  return (
    <ul className="app-files">
      {files.map(({ path, media, isTable }) => (
        <li key={path}>
          <a href={fileUrl(path)} download>
            {path.split("/").at(-1)}
          </a>
          {isTable ? <TextFile url={fileUrl(path)} media={media} /> : null}
        </li>
      ))}
    </ul>
  );
}
