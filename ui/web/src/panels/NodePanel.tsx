/** The selected node: its documentation, its parameters with their help; or, with none selected, the workflow. */
import { AppWindow, ChartLine, Crosshair } from "lucide-react";
import { wireColour } from "../drawing/colours";
import { hasWidget } from "../drawing/geometry";
import { halves } from "../document/document";
import { exposedOf } from "../document/stages";
import { goTo } from "../state/flow";
import { setAbout } from "../commands";
import { titleOf, type Card } from "../document/cards";
import { kindOf, saying } from "../document/types";
import { appUrl } from "../server/api";
import type { Port } from "../server/types";
import { activeOf, useDocuments } from "../state/documents";
import { sheetKey, shownSheet, useEditor } from "../state/editor";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { Parameter } from "../widgets/Parameter";
import { Sparks } from "../canvas/Sparks";
import { t } from "../strings";
import { IconButton } from "../widgets/IconButton";
import { useUi } from "../state/ui";
import { ParameterHelp } from "./ParameterHelp";
import { Prose } from "./Prose";
import { ZoneNote } from "./ZoneNote";

export function NodePanel() {
  const chosen = useEditor((state) =>
    state.nodes
      .filter((node) => node.selected && node.id in state.cards)
      .map((node) => node.id)
      .join(),
  );
  const ids = chosen === "" ? [] : chosen.split(",");
  const card = useEditor((state) => (ids.length === 1 ? state.cards[ids[0] ?? ""] : undefined));
  if (ids.length > 1) return <p className="nothing">{ids.length} nodes are selected</p>;
  return card ? <OneNode card={card} /> : <WholeWorkflow />;
}

function OneNode({ card }: { card: Card }) {
  const { spec } = card;
  const logs = useRuns((state) => seenRun(state.view).logs).filter((log) => log.node === card.id);
  const parameters = card.inputs.filter(hasWidget);
  if (!spec)
    return (
      <p className="nothing">
        There is no node type “{card.type}” here. It may be of a package that is not installed. What the file
        says of it is kept.
      </p>
    );
  const zonePorts = spec.body ? [...spec.body.ports] : [];
  return (
    <article className="node-panel">
      <header>
        <h3>{titleOf(card.id)}</h3>
        <p className="meta">
          {spec.type} · {spec.category} · version {spec.version}
        </p>
      </header>
      {card.isZone ? <ZoneNote card={card} /> : null}
      <CurvesOf node={card.id} />
      <Prose text={spec.documentation} />
      {parameters.length > 0 ? (
        <section>
          <h4>Parameters</h4>
          {parameters.map((slot) => (
            <ParameterHelp key={slot.handle} node={card.id} slot={slot} />
          ))}
        </section>
      ) : null}
      <PortTable title="Inputs" ports={spec.inputs.filter((port) => port.schema === undefined)} />
      {zonePorts.length > 0 ? <PortTable title="Inside, on the left" ports={zonePorts} /> : null}
      {spec.body && spec.body.results.length > 0 ? (
        <PortTable title="Results of the inside" ports={spec.body.results} />
      ) : null}
      <PortTable title="Outputs" ports={spec.outputs} />
      {logs.length > 0 ? (
        <section>
          <h4>Messages of the run</h4>
          <ul className="logs">
            {logs.map((log, i) => (
              <li key={i} className={log.level}>
                {log.message}
              </li>
            ))}
          </ul>
        </section>
      ) : null}
    </article>
  );
}

/** The curves that a node reports in the run that is shown. */
function CurvesOf({ node }: { node: string }) {
  const curves = useRuns((state) => seenRun(state.view).curves[node]);
  if (!curves) return null;
  return (
    <section className="panel-curves">
      <Sparks curves={curves} />
      <button className="small-button" onClick={() => useUi.setState({ dialog: "chart", chart: node })}>
        <ChartLine size={13} aria-hidden /> Open the chart
      </button>
    </section>
  );
}

function PortTable({ title, ports }: { title: string; ports: readonly Port[] }) {
  const catalog = useEditor((state) => state.catalog);
  if (ports.length === 0) return null;
  return (
    <section>
      <h4>{title}</h4>
      <dl className="port-table">
        {ports.map((port) => {
          const type = catalog.types[port.type];
          const about = port.help || type?.about;
          return (
            <div key={port.name}>
              <dt>
                <i className="dot" style={{ background: wireColour(catalog, port.type) }} />
                {port.name || "any name"}
                <span>{saying(kindOf(port))}</span>
                {port.shape ? <code>{port.shape}</code> : null}
              </dt>
              {about ? <dd>{about}</dd> : null}
            </div>
          );
        })}
      </dl>
    </section>
  );
}

function WholeWorkflow() {
  const about = useEditor((state) => state.doc.about);
  const sheet = useEditor((state) => sheetKey(shownSheet(state)));
  const count = useEditor((state) => Object.keys(state.doc.nodes).length);
  const path = useDocuments((state) => activeOf(state).file.path);
  return (
    <article className="node-panel">
      <header>
        <h3>The workflow</h3>
        <p className="meta">{count} nodes · select one to read about it</p>
      </header>
      <label className="about">
        <span>About</span>
        <textarea
          rows={6}
          value={about}
          placeholder="What this workflow does"
          onChange={(event) => setAbout(event.target.value)}
          onKeyDown={(event) => {
            if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
          }}
        />
      </label>
      <section>
        <h4>In the app view</h4>
        <ExposedFields key={sheet} />
        {path ? (
          <a className="small-button link" href={appUrl(path)} target="_blank" rel="noreferrer">
            <AppWindow size={13} aria-hidden /> Open the app view
          </a>
        ) : null}
      </section>
    </article>
  );
}

/** What the workflow exposes, each as its field; what is wired instead is named. */
function ExposedFields() {
  const doc = useEditor((state) => state.doc);
  const cards = useEditor((state) => state.cards);
  const fields = exposedOf(doc, cards);
  const named = Object.entries(doc.exposed.params);
  if (named.length === 0) return <p className="quiet">{t("Right-click a parameter to show it there.")}</p>;
  return (
    <ul className="exposed">
      {named.map(([key, ref]) => {
        const [node, param] = halves(ref);
        const name = key.replaceAll("_", " ");
        const field = fields.find((own) => own.node === node && own.slot.handle === param);
        return (
          <li key={key}>
            {field ? (
              <Parameter node={node} slot={field.slot} called={name} />
            ) : (
              <span>
                {name}: {t("wired")}
              </span>
            )}
            <IconButton
              small
              label={`${name}: ${t("go to its node")} (${titleOf(node)})`}
              run={() => goTo(node)}
            >
              <Crosshair size={12} />
            </IconButton>
          </li>
        );
      })}
    </ul>
  );
}
