/** The definitions of the workflow: the ports of the one that one is in, what each is used for, and blueprints. */
import { keysFor } from "../canvas/shortcuts";
import { ArrowDown, ArrowUp, Copy, CornerDownRight, Package, Plus, Trash2, X } from "lucide-react";
import { useEffect, useMemo } from "react";
import {
  addDefinitionPort,
  copyDefinition,
  describeDefinition,
  enterDefinition,
  makeOfSelection,
  moveDefinitionPort,
  removeDefinition,
  removeDefinitionPort,
  renameDefinitionPort,
  renameDefinitionTo,
} from "../commands";
import { saveBlueprint, useBlueprints, loadBlueprints, deleteBlueprint } from "../commands/blueprints";
import { titleOf } from "../document/cards";
import { definitionNamed } from "../document/definitions";
import { NO_NAME, nameTyped } from "../document/naming";
import { portsOf, type Side } from "../document/ports";
import { usesOf } from "../document/uses";
import { activeOf, useDocuments } from "../state/documents";
import { useEditor } from "../state/editor";
import { say } from "../state/ui";
import { IconButton } from "../widgets/IconButton";

export function DefinitionsPanel() {
  const within = useEditor((state) => state.path.at(-1)?.definition);
  return (
    <article className="definitions">
      {within === undefined ? null : <OneDefinition key={within} name={within} />}
      <AllDefinitions />
      <Blueprints />
    </article>
  );
}

const useWhole = () => useDocuments((state) => activeOf(state).history.present);

function Name({ label, name, change }: { label: string; name: string; change: (name: string) => void }) {
  const finish = (field: HTMLInputElement) => {
    const wanted = field.value.trim() === titleOf(name) ? name : nameTyped(field.value);
    if (wanted === null) say(NO_NAME, "bad");
    else if (wanted !== name) change(wanted);
    field.value = titleOf(name);
  };
  return (
    <input
      key={name}
      className="definition-name"
      aria-label={label}
      defaultValue={titleOf(name)}
      onBlur={(event) => finish(event.target)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") event.currentTarget.blur();
        if (event.key === "Escape") {
          event.currentTarget.value = titleOf(name);
          event.currentTarget.blur();
        }
      }}
    />
  );
}

const SIDES: readonly (readonly [Side, string])[] = [
  ["inputs", "Inputs"],
  ["results", "Results"],
  ["ports", "What its body is given"],
  ["given", "What its body gives"],
];

function OneDefinition({ name }: { name: string }) {
  const whole = useWhole();
  const definition = definitionNamed(whole, name);
  if (!definition) return null;
  const sides = SIDES.filter(([side]) => definition.body || side === "inputs" || side === "results");
  return (
    <section>
      <h3>{titleOf(name)}</h3>
      <textarea
        rows={2}
        aria-label="About the definition"
        placeholder="What this definition does"
        value={definition.about ?? ""}
        onChange={(event) => describeDefinition(name, event.target.value)}
        onKeyDown={(event) => {
          if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
        }}
      />
      {sides.map(([side, title]) => (
        <PortList key={side} name={name} side={side} title={title} ports={portsOf(definition, side)} />
      ))}
    </section>
  );
}

interface PortListProps {
  name: string;
  side: Side;
  title: string;
  ports: readonly string[];
}

function PortList({ name, side, title, ports }: PortListProps) {
  return (
    <>
      <h4>{title}</h4>
      {ports.length === 0 ? <p className="quiet">None yet.</p> : null}
      <ul className="definition-ports">
        {ports.map((port, i) => (
          <li key={port}>
            <Name
              label={`Name of ${port}`}
              name={port}
              change={(wanted) => renameDefinitionPort(name, side, port, wanted)}
            />
            <IconButton
              label={`Move ${port} up`}
              disabled={i === 0}
              run={() => moveDefinitionPort(name, side, port, -1)}
            >
              <ArrowUp size={13} />
            </IconButton>
            <IconButton
              label={`Move ${port} down`}
              disabled={i === ports.length - 1}
              run={() => moveDefinitionPort(name, side, port, 1)}
            >
              <ArrowDown size={13} />
            </IconButton>
            <IconButton label={`Remove ${port}`} run={() => removeDefinitionPort(name, side, port)}>
              <X size={13} />
            </IconButton>
          </li>
        ))}
      </ul>
      {side === "results" ? (
        <p className="quiet">A wire drawn to “+ result” on the sheet makes a new one.</p>
      ) : (
        <button className="small-button" onClick={() => addDefinitionPort(name, side, "port")}>
          <Plus size={13} aria-hidden /> Add
        </button>
      )}
    </>
  );
}

function AllDefinitions() {
  const whole = useWhole();
  const rows = useMemo(
    () => Object.keys(whole.definitions).map((name) => ({ name, uses: usesOf(whole, name).length })),
    [whole],
  );
  return (
    <section>
      <h3>Definitions</h3>
      {rows.length === 0 ? (
        <p className="quiet">
          A definition is a graph used as a node, any number of times. Select nodes and make one of them.
        </p>
      ) : null}
      <ul className="definition-list">
        {rows.map(({ name, uses }) => (
          <li key={name}>
            <Name
              label={`Name of the definition ${name}`}
              name={name}
              change={(wanted) => renameDefinitionTo(name, wanted)}
            />
            <small>{uses === 0 ? "not used" : uses === 1 ? "used once" : `used ${uses} times`}</small>
            <IconButton label={`Open ${name}`} tip="Open: show its inside" run={() => enterDefinition(name)}>
              <CornerDownRight size={13} />
            </IconButton>
            <IconButton label={`Duplicate ${name}`} tip="Duplicate" run={() => copyDefinition(name)}>
              <Copy size={13} />
            </IconButton>
            <IconButton
              label={`Save ${name} as a blueprint`}
              tip="Save as a blueprint, for other workflows"
              run={() => void saveBlueprint(name)}
            >
              <Package size={13} />
            </IconButton>
            <IconButton
              label={`Delete ${name}`}
              tip={uses > 0 ? "It is used: unpack or delete its uses first" : "Delete"}
              disabled={uses > 0}
              run={() => removeDefinition(name)}
            >
              <Trash2 size={13} />
            </IconButton>
          </li>
        ))}
      </ul>
      <button className="small-button" onClick={() => makeOfSelection()}>
        <Plus size={13} aria-hidden /> Make one of the selection
      </button>
    </section>
  );
}

function Blueprints() {
  const all = useBlueprints((state) => state.all);
  useEffect(() => void loadBlueprints(), []);
  return (
    <section>
      <h3>Blueprints</h3>
      <p className="quiet">
        Definitions that lie in the workspace for all workflows. The palette ({keysFor("Add a node")}) puts
        them in.
      </p>
      <ul className="definition-list">
        {all.map(({ name, about }) => (
          <li key={name}>
            <b data-tip={about ? `text|${about}` : undefined}>{titleOf(name)}</b>
            <small />
            <IconButton
              label={`Delete the blueprint ${name}`}
              tip="Delete"
              run={() => void deleteBlueprint(name)}
            >
              <Trash2 size={13} />
            </IconButton>
          </li>
        ))}
      </ul>
    </section>
  );
}
